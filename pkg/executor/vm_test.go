package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestABoundVMIsStartedWithTwoWrites(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.mustTurn() // the events of our own doing come back

	if diff := cmp.Diff([]string{"define", "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	if diff := cmp.Diff([]string{"patch *v1alpha1.VirtualMachine", "patch *v1alpha1.VirtualMachine status"}, s.writes); diff != "" {
		t.Errorf("writes: %s", diff)
	}
	vm := s.vm()
	if diff := cmp.Diff([]string{v1alpha1.DomainFinalizer}, vm.Finalizers); diff != "" {
		t.Errorf("finalizers: %s", diff)
	}
	now := metav1.Time{Time: vmtest.Now}
	want := v1alpha1.VirtualMachineStatus{
		ObservedGeneration: 7, Phase: v1alpha1.PhaseRunning, Epoch: 3, Placement: vmtest.Bound().Status.Placement,
		Host: &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRunning, DomainName: "default:guest", DomainUUID: vmtest.UID, StartedAt: &now},
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonScheduled, LastTransitionTime: now},
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Running", ObservedGeneration: 7, LastTransitionTime: now},
		},
	}
	if diff := cmp.Diff(want, vm.Status); diff != "" {
		t.Errorf("status: %s", diff)
	}
	if diff := cmp.Diff([]string{"Started"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
}

func TestARestartedExecutorLeavesARunningGuestAsItIs(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	before, writes, done := s.vm(), len(s.writes), len(s.host.done)
	s.clock.Step(time.Hour)
	s.restart()
	s.mustTurn()
	if diff := cmp.Diff(before, s.vm()); diff != "" {
		t.Error(diff)
	}
	if len(s.writes) != writes || len(s.host.done) != done {
		t.Errorf("it wrote %v and did %v", s.writes[writes:], s.host.done[done:])
	}
}

// errCrash looks like a libvirt that is away: nothing is concluded from it.
var errCrash = fmt.Errorf("the process was killed: %w", libvirt.ErrUnavailable)

// scenario brings a VM from one settled state to the next.
type scenario struct {
	prepare func(*stage) // a settled stage
	settled func(*stage) bool
}

// TestEveryStepSurvivesACrash kills the executor before and after each of its
// changes to the host and to the API server, starts it again, and expects the
// same end. All the while a domain exists only under a stored finalizer.
func TestEveryStepSurvivesACrash(t *testing.T) {
	running := func(s *stage) bool {
		vm := s.vm()
		return vm != nil && vm.Status.Host != nil && vm.Status.Host.State == v1alpha1.HostRunning && vm.Status.Host.Epoch == vm.Status.Epoch &&
			s.host.domains[vmtest.UID].State == libvirt.StateRunning
	}
	start := func(s *stage) {
		s.mustTurn()
		if !running(s) {
			s.t.Fatal("the guest does not run")
		}
	}
	for name, c := range map[string]scenario{
		"starting": {prepare: func(*stage) {}, settled: running},
		"switching off": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Switched) },
			settled: func(s *stage) bool { return s.said().State == v1alpha1.HostStopped },
		},
		"growing": {
			prepare: func(s *stage) {
				s.privileged()
				s.edit(func(vm *v1alpha1.VirtualMachine) {
					mayGrow(vm)
					vm.Status.Placement.Granted = capacity.Desired(&vm.Spec)
				})
				start(s)
				s.edited(size(2, "3Gi"))
				s.granted(2, 3)
			},
			settled: func(s *stage) bool {
				d := ownership.Observe(s.host.domains[vmtest.UID])
				want := v1alpha1.GuestSize{CPU: 2, Memory: 3 << 30}
				return s.said().CPU == 2 && s.said().Memory == 3<<30 && d.VCPUs == 2 && d.CurrentMemory == 3<<30 && d.Ownership.Granted.Size() == want &&
					s.vm().Status.ObservedGeneration == s.vm().Generation
			},
		},
		"pausing": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Shall(v1alpha1.PowerPaused)) },
			settled: func(s *stage) bool {
				return s.said().State == v1alpha1.HostPaused && s.host.domains[vmtest.UID].State == libvirt.StatePaused
			},
		},
		"suspending": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Shall(v1alpha1.PowerSuspended)) },
			settled: func(s *stage) bool {
				return s.said().State == v1alpha1.HostSuspended && s.host.domains[vmtest.UID].Saved
			},
		},
		"going on from saved memory": {
			prepare: func(s *stage) {
				start(s)
				s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
				s.mustTurn()
				s.edit(vmtest.Shall(v1alpha1.PowerRunning))
				s.host.done = nil
			},
			settled: func(s *stage) bool {
				if slices.Contains(s.host.done, "define") {
					s.t.Error("what is saved was defined anew")
				}
				return running(s)
			},
		},
		"starting what runs once": {
			prepare: func(s *stage) { s.edit(vmtest.PolicyIs(v1alpha1.RunOnce)) },
			// After a crash at the start itself it is not known whether it ran, here.
			settled: func(s *stage) bool { return running(s) || s.said() != nil && s.said().State == v1alpha1.HostEnded },
		},
		"giving the place back": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Switched); s.edit(vmtest.Releases) },
			settled: func(s *stage) bool {
				return s.said().State == v1alpha1.HostGone && s.said().Reason == v1alpha1.ReasonReleased && len(s.host.domains) == 0
			},
		},
		"deleting": {
			prepare: func(s *stage) {
				start(s)
				if err := s.api.Delete(context.Background(), s.vm()); err != nil {
					s.t.Fatal(err)
				}
			},
			settled: func(s *stage) bool { return s.vm() == nil && len(s.host.domains) == 0 },
		},
		"evicting": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Evicted) },
			settled: func(s *stage) bool {
				return s.said().State == v1alpha1.HostGone && len(s.host.domains) == 0 && slices.Contains(s.vm().Finalizers, v1alpha1.DomainFinalizer)
			},
		},
		"binding anew": {
			prepare: func(s *stage) { start(s); s.edit(vmtest.Epoch(4)) },
			settled: running,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for crash := 1; ; crash++ {
				for _, after := range []bool{false, true} {
					s := newStage(t, vmtest.Bound())
					c.prepare(s)
					if survives(s, c, crash, after) {
						continue
					}
					if crash == 1 {
						t.Fatal("nothing was done")
					}
					return
				}
			}
		})
	}
}

// survives runs the scenario with a crash at the nth change, and says whether
// there was such a change.
func survives(s *stage, c scenario, nth int, after bool) bool {
	s.t.Helper()
	n := 0
	hook := func(string) (error, error) {
		n++
		switch {
		case n != nth:
			return nil, nil
		case after:
			return nil, errCrash
		}
		return errCrash, nil
	}
	s.host.step, s.refuse = hook, hook
	for range 20 {
		err := s.turn()
		if vm := s.vm(); len(s.host.domains) > 0 && (vm == nil || !slices.Contains(vm.Finalizers, v1alpha1.DomainFinalizer)) {
			s.t.Errorf("crash %d (after: %v): there is a domain and no finalizer", nth, after)
		}
		if errors.Is(err, errCrash) {
			s.restart()
			continue
		}
		if err != nil {
			s.t.Fatalf("crash %d (after: %v): %v", nth, after, err)
		}
		if c.settled(s) {
			return n >= nth
		}
		s.clock.Step(time.Second)
	}
	s.t.Fatalf("crash %d (after: %v): it never settled: %v, %v", nth, after, s.vm(), s.host.domains)
	return false
}

func TestAGuestThatEndsIsStartedAgainAfterAWhile(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.told()
	for i, want := range []time.Duration{5 * time.Second, 10 * time.Second} {
		_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "crashed")
		after, err := s.agent.turn(context.Background(), guestKey)
		if err != nil {
			t.Fatal(err)
		}
		if h := s.said(); after != want || h.State != v1alpha1.HostFailed || h.Reason != v1alpha1.ReasonGuestEnded {
			t.Fatalf("end %d: wait %s, %+v", i, after, h)
		}
		s.clock.Step(after)
		s.mustTurn()
		if h := s.said(); h.State != v1alpha1.HostRunning || !h.StartedAt.Time.Equal(s.clock.Now()) {
			t.Fatalf("end %d: %+v", i, h)
		}
	}
	if diff := cmp.Diff([]string{"GuestEnded", "Started", "GuestEnded", "Started"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
	// A guest that ran long has its past forgotten.
	s.clock.Step(plan.SteadyAfter)
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "crashed")
	if after, err := s.agent.turn(context.Background(), guestKey); err != nil || after != 5*time.Second {
		t.Errorf("after a long run: wait %s, %v", after, err)
	}
}

func TestADeafGuestIsSwitchedOffAfterItsGrace(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.host.deaf = true
	s.edit(vmtest.Evicted)
	s.host.done = nil
	for range 3 {
		after, err := s.agent.turn(context.Background(), guestKey)
		if err != nil {
			t.Fatal(err)
		}
		if h := s.said(); h.State != v1alpha1.HostStopping || after != 10*time.Second {
			t.Fatalf("wait %s, %+v", after, h)
		}
		s.clock.Step(after)
	}
	s.mustTurn()
	if diff := cmp.Diff([]string{"shutdown", "shutdown", "shutdown", "destroy", "undefine"}, s.host.done); diff != "" {
		t.Error(diff)
	}
	if h := s.said(); h.State != v1alpha1.HostGone || h.Reason != v1alpha1.ReasonEvicted {
		t.Errorf("got %+v", h)
	}
}

// staleCache is a watch that is behind.
type staleCache struct{ vm *v1alpha1.VirtualMachine }

func (c staleCache) Get(context.Context, types.NamespacedName) *v1alpha1.VirtualMachine { return c.vm }
func (c staleCache) List(context.Context) []types.NamespacedName                        { return nil }

func TestAStaleWatchStopsAndStartsNothing(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	for name, stale := range map[string]*v1alpha1.VirtualMachine{
		"an earlier binding elsewhere": vmtest.Bound(vmtest.Epoch(4), vmtest.Moved),
		"a deletion":                   vmtest.Bound(vmtest.Deleted),
		"a switch-off":                 vmtest.Bound(vmtest.Switched),
		"no VM":                        nil,
	} {
		s.vms = staleCache{stale}
		s.restart()
		s.host.done = nil
		s.mustTurn()
		if len(s.host.done) != 0 {
			t.Errorf("%s: it did %v", name, s.host.done)
		}
	}
	// And the other way round: bound in the cache, gone in truth.
	s = newStage(t)
	s.vms = staleCache{vmtest.Bound()}
	s.restart()
	s.mustTurn()
	if len(s.host.done) != 0 || len(s.writes) != 0 {
		t.Errorf("a VM that is gone: it did %v and wrote %v", s.host.done, s.writes)
	}
}

func TestADomainWithoutItsVMIsQuarantined(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = nil })
	if err := s.api.Delete(context.Background(), s.vm()); err != nil {
		t.Fatal(err)
	}
	s.host.done = nil
	s.told()
	s.mustTurn()
	if len(s.host.done) != 0 {
		t.Errorf("it did %v", s.host.done)
	}
	if err := s.agent.syncHost(context.Background()); err != nil {
		t.Fatal(err)
	}
	hv := &v1alpha1.Hypervisor{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Name: vmtest.Node}, hv); err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.QuarantinedDomain{{Name: "default:guest", UUID: vmtest.UID, Reason: "its VirtualMachine does not exist any more"}}
	if diff := cmp.Diff(want, hv.Status.Quarantined); diff != "" {
		t.Error(diff)
	}
	// No VM accounts for what it holds, so nothing may be granted in its place.
	if diff := cmp.Diff(v1alpha1.HostCapacity{CPU: 3, Memory: 8<<30 - 1<<30 - 1<<27}, hv.Status.Allocatable); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Quarantined"}, s.told()); diff != "" {
		t.Error(diff)
	}
	// A person removes it.
	delete(s.host.domains, vmtest.UID)
	s.mustTurn()
	if sum, _ := s.agent.registry.account(); len(sum.status.Quarantined) != 0 {
		t.Errorf("still quarantined: %v", sum.status.Quarantined)
	}
}

func TestWhileLibvirtIsAwayNothingIsDecided(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	before := s.vm()
	s.host.away = true
	if err := s.turn(); !errors.Is(err, libvirt.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, s.vm()); diff != "" {
		t.Error(diff)
	}
}

func TestAnUnboundVMWhoseDomainStaysBehindIsStopped(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.edit(func(vm *v1alpha1.VirtualMachine) { vmtest.Epoch(4)(vm); vmtest.Unplaced(vm) })
	s.host.done = nil
	writes := len(s.writes)
	s.mustTurn()
	if diff := cmp.Diff([]string{"destroy", "undefine"}, s.host.done); diff != "" {
		t.Error(diff)
	}
	if len(s.writes) != writes {
		t.Errorf("it wrote about a VM that is not bound to it: %v", s.writes[writes:])
	}
}

func TestTwoVMsDoNotShareWhatIsLeft(t *testing.T) {
	other := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) {
		vm.Name, vm.UID = "other", "33333333-3333-4333-8333-333333333333"
		vm.Status.Placement.Granted.CPU = 3
	})
	s := newStage(t, vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted.CPU = 2 }), other)
	s.mustTurn()
	if _, err := s.agent.turn(context.Background(), client.ObjectKeyFromObject(other)); err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{}
	if err := s.api.Get(context.Background(), client.ObjectKeyFromObject(other), vm); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("the host is full: need 3 vCPUs, 2 free", vm.Status.Host.Message); diff != "" {
		t.Error(diff)
	}
}
