package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// create makes workload i, and returns when it did.
func (p *plane) create(ctx context.Context, s side, sh *shape, i int) (time.Time, error) {
	var obj client.Object = sh.vm(i, false)
	if s == stock {
		obj = sh.pod(i, false)
	}
	at := time.Now()
	if err := p.client.Create(ctx, obj); err != nil {
		return at, fmt.Errorf("creating a workload: %w", err)
	}
	return at, nil
}

// createAll makes n workloads, many at a time, and returns when each was made.
func (p *plane) createAll(ctx context.Context, s side, sh *shape, n int) ([]time.Time, error) {
	at := make([]time.Time, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writersAtUp)
	for i := range n {
		g.Go(func() (err error) {
			at[i], err = p.create(ctx, s, sh, i)
			return err
		})
	}
	return at, g.Wait()
}

// createSteadily makes n workloads, rate a second.
func (p *plane) createSteadily(ctx context.Context, s side, sh *shape, n, rate int) ([]time.Time, error) {
	at := make([]time.Time, n)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		g.Go(func() (err error) {
			at[i], err = p.create(ctx, s, sh, i)
			return err
		})
	}
	return at, g.Wait()
}

// fill puts one workload of low priority on each of n hosts, past any scheduler.
func (p *plane) fill(ctx context.Context, s side, sh *shape, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writersAtUp)
	for i := range n {
		g.Go(func() error {
			if s == stock {
				pod := sh.pod(i, true)
				pod.Spec.NodeName = hostName(i)
				if err := p.client.Create(ctx, pod); err != nil {
					return fmt.Errorf("filling a Node: %w", err)
				}
				return nil
			}
			return p.createBound(ctx, sh.vm(i, true), hostName(i))
		})
	}
	return g.Wait()
}

// occupy binds n VMs, evenly over the hosts, in a namespace of their own that
// stays.
func (p *plane) occupy(ctx context.Context, n, hosts int) error {
	if err := p.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: occupied}}); err != nil {
		return fmt.Errorf("creating namespace %s: %w", occupied, err)
	}
	sh := shapes["plain"]
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writersAtUp)
	for i := range n {
		g.Go(func() error {
			vm := sh.vm(i, false)
			vm.Namespace = occupied
			return p.createBound(ctx, vm, hostName(i%hosts))
		})
	}
	return g.Wait()
}

// createBound creates a VM that is on a host.
func (p *plane) createBound(ctx context.Context, vm *v1alpha1.VirtualMachine, host string) error {
	if err := p.client.Create(ctx, vm); err != nil {
		return fmt.Errorf("filling a host: %w", err)
	}
	vm.Status.Phase = v1alpha1.PhaseRunning
	vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: capacity.Desired(&vm.Spec)}
	if err := p.client.Status().Update(ctx, vm); err != nil {
		return fmt.Errorf("filling a host: %w", err)
	}
	return nil
}

// leave returns what is done for a filler that is evicted: what kubelet and
// ReplicaSet, or the host's executor, would.
func (p *plane) leave(ctx context.Context, s side, sh *shape) func(name string, epoch int64) {
	return func(name string, epoch int64) {
		if s == stock {
			again := sh.pod(0, true)
			again.Name = name + "-again"
			_ = p.client.Create(ctx, again)
			return
		}
		vm := &v1alpha1.VirtualMachine{}
		vm.Namespace, vm.Name = namespace, name
		before := vm.DeepCopy()
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: epoch, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted}
		_ = p.client.Status().Patch(ctx, vm, client.MergeFrom(before))
	}
}

// clean removes all workloads and events.
func (p *plane) clean(ctx context.Context) error {
	in := client.InNamespace(namespace)
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		for _, obj := range []client.Object{&corev1.Pod{}, &v1alpha1.VirtualMachine{}, &eventsv1.Event{}} {
			if err := p.client.DeleteAllOf(ctx, obj, in, client.GracePeriodSeconds(0)); err != nil {
				return false, fmt.Errorf("removing workloads: %w", err)
			}
		}
		var pods metav1.PartialObjectMetadataList
		pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		var vms metav1.PartialObjectMetadataList
		vms.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachineList"))
		for _, list := range []*metav1.PartialObjectMetadataList{&pods, &vms} {
			if err := p.client.List(ctx, list, in); err != nil {
				return false, fmt.Errorf("listing workloads: %w", err)
			}
		}
		return len(pods.Items)+len(vms.Items) == 0, nil
	})
}
