package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity/numa"
)

// keepers speak for the executors of described hosts: each accepts or refuses
// what is bound to its host, by an account of its own, and gives up what it is
// asked to. They hold the scheduler to its promises: a guest runs on one host
// alone, and none is taken from its host before that has given it up.
type keepers struct {
	t      *testing.T
	writer *vmstatus.Writer

	mu sync.Mutex
	// hosts are the accounts by name of the host.
	hosts map[string]*numa.Usage
	// guests are what runs, by UID of the VM; over is the first epoch in which
	// the VM may run again, after a refusal or an eviction.
	guests map[types.UID]guest
	over   map[types.UID]int64
	// started counts the guests that have been started.
	started int
	// refused says in words what was refused.
	refused []string
	// obstinate hosts do not give up what they are asked to.
	obstinate bool
	evicted   map[types.UID]*v1alpha1.VirtualMachine
}

// guest is a VM that runs.
type guest struct {
	epoch     int64
	placement v1alpha1.Placement
}

// keep speaks for the hosts until the test ends.
func keep(t *testing.T, names ...string) *keepers {
	t.Helper()
	k := &keepers{
		t: t, writer: vmstatus.New(suite.client), hosts: map[string]*numa.Usage{}, guests: map[types.UID]guest{},
		over: map[types.UID]int64{}, evicted: map[types.UID]*v1alpha1.VirtualMachine{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, name := range names {
		hv := hypervisor(t, name)
		topology, err := numa.FromHypervisor(&hv.Status)
		if err != nil {
			t.Fatal(err)
		}
		k.hosts[name] = numa.NewUsage(&topology)
		informer := k.follow(ctx, name)
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return k
}

// follow watches, as an executor does, the VMs that are bound to its host.
func (k *keepers) follow(ctx context.Context, host string) cache.Controller {
	here := fields.OneTermEqualSelector("status.placement.nodeName", host)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list := &v1alpha1.VirtualMachineList{}
				return list, suite.client.List(ctx, list, &client.ListOptions{FieldSelector: here, Raw: &o})
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return suite.client.Watch(ctx, &v1alpha1.VirtualMachineList{}, &client.ListOptions{FieldSelector: here, Raw: &o})
			},
		},
		ObjectType: &v1alpha1.VirtualMachine{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { k.look(ctx, host, obj.(*v1alpha1.VirtualMachine)) },
			UpdateFunc: func(_, obj any) { k.look(ctx, host, obj.(*v1alpha1.VirtualMachine)) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				k.left(ctx, host, obj.(*v1alpha1.VirtualMachine))
			},
		},
	})
	return informer
}

// look does what an executor does about a VM that is bound to its host.
func (k *keepers) look(ctx context.Context, host string, vm *v1alpha1.VirtualMachine) {
	switch g, runs := k.guest(vm.UID); {
	case k.ended(vm):
	case runs && g.placement.NodeName == host && g.epoch == vm.Status.Epoch:
		if vm.Status.Eviction != nil {
			k.evict(ctx, vm)
		}
	case runs:
		k.t.Errorf("VM %s is bound to %s in epoch %d while it runs on %s in epoch %d", vm.Name, host, vm.Status.Epoch, g.placement.NodeName, g.epoch)
	default:
		k.say(ctx, vm, k.admit(host, vm))
	}
}

// admit takes a VM in, or says why not.
func (k *keepers) admit(host string, vm *v1alpha1.VirtualMachine) v1alpha1.HostStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := *vm.Status.Placement
	if short := numa.Admit(k.hosts[host], &p); short != nil {
		k.over[vm.UID] = vm.Status.Epoch + 1
		k.refused = append(k.refused, fmt.Sprintf("%s on %s: %s", vm.Name, host, short))
		return v1alpha1.HostStatus{State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit, Message: short.String()}
	}
	if err := k.hosts[host].Add(&p); err != nil {
		k.t.Errorf("host %s: %v", host, err)
	}
	k.guests[vm.UID] = guest{epoch: vm.Status.Epoch, placement: p}
	k.started++
	// Each starts a second after the one before: who runs longest is seen by that.
	at := metav1.NewTime(time.Now().Add(time.Duration(k.started)*time.Second - time.Hour))
	return v1alpha1.HostStatus{State: v1alpha1.HostRunning, StartedAt: &at}
}

// evict gives a VM up, unless the hosts are obstinate.
func (k *keepers) evict(ctx context.Context, vm *v1alpha1.VirtualMachine) {
	k.mu.Lock()
	if k.obstinate {
		k.evicted[vm.UID] = vm
		k.mu.Unlock()
		return
	}
	k.over[vm.UID] = vm.Status.Epoch + 1
	k.stop(vm.UID)
	k.mu.Unlock()
	k.say(ctx, vm, v1alpha1.HostStatus{State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted})
}

// refuseToEvict makes the hosts obstinate until relent is called.
func (k *keepers) refuseToEvict() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.obstinate = true
}

// relent gives up all that hosts have been asked to.
func (k *keepers) relent() {
	k.mu.Lock()
	k.obstinate = false
	waiting := k.evicted
	k.evicted = map[types.UID]*v1alpha1.VirtualMachine{}
	k.mu.Unlock()
	for _, vm := range waiting {
		k.evict(k.t.Context(), vm)
	}
}

// left is told of a VM that was deleted, or is bound to the host no more.
func (k *keepers) left(ctx context.Context, host string, vm *v1alpha1.VirtualMachine) {
	g, runs := k.guest(vm.UID)
	if !runs || g.placement.NodeName != host || g.epoch != vm.Status.Epoch {
		return
	}
	live := &v1alpha1.VirtualMachine{}
	if err := suite.client.Get(ctx, client.ObjectKeyFromObject(vm), live); err == nil && live.UID == vm.UID {
		k.t.Errorf("VM %s was taken from %s while it ran there: %+v", vm.Name, host, live.Status)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stop(vm.UID)
}

func (k *keepers) guest(uid types.UID) (guest, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.guests[uid]
	return g, ok
}

// ended says whether the VM's binding of this epoch has been refused or given up.
func (k *keepers) ended(vm *v1alpha1.VirtualMachine) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return vm.Status.Epoch < k.over[vm.UID]
}

// stop takes a guest out of its host's account.
func (k *keepers) stop(uid types.UID) {
	g := k.guests[uid]
	delete(k.guests, uid)
	if err := k.hosts[g.placement.NodeName].Remove(&g.placement); err != nil {
		k.t.Error(err)
	}
}

// say writes what the host has done.
func (k *keepers) say(ctx context.Context, vm *v1alpha1.VirtualMachine, h v1alpha1.HostStatus) {
	h.Epoch = vm.Status.Epoch
	_, err := k.writer.Patch(ctx, vm, func(s *v1alpha1.VirtualMachineStatus) {
		s.Host, s.ObservedGeneration = &h, vm.Generation
		if h.State == v1alpha1.HostRunning {
			s.Phase = v1alpha1.PhaseRunning
		}
	})
	if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !errors.Is(err, vmstatus.ErrStale) {
		k.t.Errorf("saying %s of VM %s: %v", h.State, vm.Name, err)
	}
}

// waitEmpty waits until no guest runs any more.
func (k *keepers) waitEmpty() {
	k.t.Helper()
	n := 0
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		k.mu.Lock()
		n = len(k.guests)
		k.mu.Unlock()
		if n == 0 {
			return
		}
	}
	k.t.Fatalf("%d guests of VMs that are gone run", n)
}

// refusals are what was refused so far, in words.
func (k *keepers) refusals() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.refused...)
}
