package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// confine pins running guests of ours where they should run now: those that run
// on any of the CPUs, or with no CPUs all. It does nothing to one that is as it
// should, tries all, and returns what failed. Other domains are left alone.
//
// One runs at a time: a slower one would pin to what has changed since.
func (a *Agent) confine(ctx context.Context, cpus cpuset.CPUSet) error {
	a.pinning.Lock()
	defer a.pinning.Unlock()
	var errs []error
	for _, g := range a.registry.astray(a.clusterID, cpus) {
		if err := a.pin(ctx, g); err != nil {
			klog.FromContext(ctx).Info("A guest could not be pinned", keyDomain, g.name, keyUUID, g.uuid, keyError, err.Error())
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (a *Agent) pin(ctx context.Context, g astray) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := a.host.Pin(ctx, g.uuid, g.vcpus, g.emulator)
	if err != nil && !errors.Is(err, libvirt.ErrNotFound) {
		return err
	}
	if _, err := a.look(ctx, g.uuid); err != nil {
		return err
	}
	if a.registry.strays(a.clusterID, g.uuid) {
		return errors.New("it is being started, or was pinned by somebody else")
	}
	return nil
}

// clear keeps all other guests of ours off the CPUs that the guest of in has to
// itself.
func (a *Agent) clear(ctx context.Context, in *plan.Situation) error {
	own, idle := ownCPUs(in.VM.Status.Placement.Cells)
	if own.IsEmpty() {
		return nil
	}
	if err := a.confine(ctx, own.Union(idle)); err != nil {
		// Others may be another namespace's: the log names them.
		return fmt.Errorf("keeping another guest off its CPUs %s: %w", own.Union(idle), err)
	}
	return nil
}

// followPins keeps guests where they should run, whenever something has changed
// that may matter to it.
func (a *Agent) followPins(ctx context.Context) {
	newBackoff := func() wait.Backoff {
		return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	}
	backoff := newBackoff()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.pinsChanged:
		}
		if !a.Ready() {
			continue // everything is looked at when libvirt has been listed
		}
		err := a.confine(ctx, cpuset.New())
		if err == nil {
			backoff = newBackoff()
			continue
		}
		// What failed is told to change by each look at it: wait here.
		pause := backoff.Step()
		klog.FromContext(ctx).Info("Confining guests failed and is repeated", keyError, err.Error(), keyQueueing, pause)
		select {
		case <-ctx.Done():
			return
		case <-a.clock.After(pause):
		}
		wake(a.pinsChanged)
	}
}
