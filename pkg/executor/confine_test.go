package executor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

const otherUID = "33333333-3333-4333-8333-333333333333"

// dedicated is another VM that has CPUs 2 and 3 to itself.
func dedicated(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	return vmtest.Bound(append([]func(*v1alpha1.VirtualMachine){func(vm *v1alpha1.VirtualMachine) {
		vm.Name, vm.UID = "dedicated", otherUID
		vm.Status.Placement.Granted.CPU = 2
		vm.Status.Placement.Cells = []v1alpha1.PlacedCell{{ID: 0, CPU: 2, CPUs: "2-3"}}
	}}, change...)...)
}

func newLargeStage(t *testing.T, vms ...*v1alpha1.VirtualMachine) *stage {
	t.Helper()
	s := newStage(t)
	for _, vm := range vms {
		if err := s.api.Create(context.Background(), vm.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	s.host.description = twoCells()
	s.restart()
	return s
}

func (s *stage) confine() {
	s.t.Helper()
	if err := s.agent.confine(context.Background(), cpuset.New()); err != nil {
		s.t.Fatal(err)
	}
}

// everywhere and besides are where a guest of one vCPU may run: on all CPUs, or
// beside those that dedicated has to itself.
var (
	everywhere = libvirt.Binding{VCPUs: map[int]string{0: "0-7"}, Emulator: "0-7"}
	besides    = libvirt.Binding{VCPUs: map[int]string{0: "0-1,4-7"}, Emulator: "0-1,4-7"}
)

func TestDedicatedCPUsAreClearedBeforeTheirGuestStarts(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	s.mustTurn()
	if diff := cmp.Diff(libvirt.Binding{}, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Errorf("with nobody else: %s", diff)
	}
	s.turnOf(alone)
	if diff := cmp.Diff([]string{"define", "start", "define", "pin " + vmtest.UID, "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Errorf("the guest that shares: %s", diff)
	}
	own := libvirt.Binding{VCPUs: map[int]string{0: "2", 1: "3"}, Emulator: "2-3"}
	if diff := cmp.Diff(own, s.host.domains[otherUID].Binding); diff != "" {
		t.Errorf("the guest that does not: %s", diff)
	}
	// Nothing is left to do, also for an executor that comes later.
	s.host.done = nil
	s.confine()
	s.restart()
	s.confine()
	if len(s.host.done) != 0 {
		t.Errorf("it did %v", s.host.done)
	}

	// What somebody else has changed is put right.
	_ = s.host.Pin(context.Background(), vmtest.UID, map[int]string{0: "3"}, "")
	s.restart()
	s.confine()
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Errorf("after somebody's change: %s", diff)
	}

	if err := s.api.Delete(context.Background(), alone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	s.turnOf(alone) // asks it to shut down
	s.turnOf(alone)
	s.confine()
	if diff := cmp.Diff(everywhere, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Errorf("when it is gone: %s", diff)
	}
}

func TestAGuestIsDefinedBesideDedicatedCPUs(t *testing.T) {
	alone := dedicated(func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement.Granted.CPU = 1
		vm.Status.Placement.Cells = []v1alpha1.PlacedCell{{ID: 0, CPU: 1, CPUs: "2", Idle: "3"}}
	})
	s := newLargeStage(t, vmtest.Bound(), alone)
	s.turnOf(alone)
	s.mustTurn()
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Error(diff)
	}
	s.host.done = nil
	s.confine()
	if len(s.host.done) != 0 {
		t.Errorf("it did %v", s.host.done)
	}
}

func TestAGuestThatCannotBePinnedKeepsDedicatedCPUsFromStarting(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	s.mustTurn()
	refused := errors.New("no such file")
	s.host.step = func(what string) (error, error) {
		if strings.HasPrefix(what, "pin") {
			return refused, nil
		}
		return nil, nil
	}
	s.turnOf(alone)
	want := &v1alpha1.HostStatus{
		Epoch: 3, State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonStartFailed,
		Message:    "keeping another guest off its CPUs 2-3: no such file",
		DomainName: "default:dedicated", DomainUUID: otherUID,
	}
	if diff := cmp.Diff(want, s.saidOf(alone)); diff != "" {
		t.Error(diff)
	}
	if got := s.host.domains[vmtest.UID]; got.State != libvirt.StateRunning {
		t.Errorf("the other guest is %s", got.State)
	}
	// A guest that is elsewhere does not matter.
	d := s.host.domains[vmtest.UID]
	d.Binding = libvirt.Binding{VCPUs: map[int]string{0: "5"}, Emulator: "5"}
	s.host.domains[vmtest.UID] = d
	s.clock.Step(5 * time.Second)
	s.mustTurn() // looks at it again
	s.turnOf(alone)
	if h := s.saidOf(alone); h.State != v1alpha1.HostRunning {
		t.Errorf("got %+v", h)
	}
}

func TestOnlyOurOwnGuestsAreConfined(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, alone)
	running := func(uuid string, change func(*ownership.Observed)) {
		o := vmtest.Domain(libvirt.StateRunning, change)
		o.UUID, o.Name, o.Ownership.Owner.Name = uuid, uuid, uuid
		if o.Owned {
			o.Metadata = o.Ownership.XML()
		}
		s.host.domains[uuid] = o.Domain
	}
	running("foreign", vmtest.Foreign)
	running("another-clusters", vmtest.OfAnotherCluster)
	running("quarantined", func(*ownership.Observed) {})
	s.restart()
	s.agent.registry.quarantine("quarantined", "its VirtualMachine does not exist any more")
	s.turnOf(alone)
	s.confine()
	if diff := cmp.Diff([]string{"define", "start"}, s.host.done); diff != "" {
		t.Error(diff)
	}
}

// slowHost starts one guest only when it is told to.
type slowHost struct {
	*fakeHost
	begun, goOn chan struct{}
}

func (h slowHost) Start(ctx context.Context, uuid string) error {
	if uuid == vmtest.UID {
		close(h.begun)
		<-h.goOn
	}
	return h.fakeHost.Start(ctx, uuid)
}

func TestAGuestThatIsBeingStartedIsWaitedFor(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	slow := slowHost{fakeHost: s.host, begun: make(chan struct{}), goOn: make(chan struct{})}
	s.agent.host = slow
	started := make(chan error)
	go func() { started <- s.turn() }()
	<-slow.begun
	s.turnOf(alone)
	if h := s.saidOf(alone); h.State != v1alpha1.HostFailed || !strings.HasPrefix(h.Message, "keeping another guest off its CPUs 2-3") {
		t.Errorf("got %+v", h)
	}
	close(slow.goOn)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.agent.pinsChanged:
	default:
		t.Error("nobody was told that the guest runs elsewhere than it should")
	}
	s.clock.Step(5 * time.Second)
	s.turnOf(alone)
	if h := s.saidOf(alone); h.State != v1alpha1.HostRunning {
		t.Errorf("got %+v", h)
	}
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Error(diff)
	}
}

func TestAGuestThatDidNotStartIsNotWaitedFor(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	s.host.startErr = errors.New("internal error")
	s.mustTurn()
	s.host.startErr = nil
	s.turnOf(alone)
	if h := s.saidOf(alone); h.State != v1alpha1.HostRunning {
		t.Errorf("got %+v", h)
	}
	// When its time comes it is defined beside the CPUs that are taken since.
	s.clock.Step(5 * time.Second)
	s.mustTurn()
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" || s.said().State != v1alpha1.HostRunning {
		t.Errorf("%+v, %s", s.said(), diff)
	}
}

func TestADomainThatWasMadeBeforeCPUsWereTakenIsMadeAnewBeforeItStarts(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	met := false
	s.refuse = func(what string) (error, error) {
		// Between the conversion of the one and its definition the other comes.
		if what == "patch *v1alpha1.VirtualMachine" && !met {
			met = true
			s.turnOf(alone)
		}
		return nil, nil
	}
	s.mustTurn()
	if diff := cmp.Diff([]string{"define", "start", "define", "define", "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	if diff := cmp.Diff(besides, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Error(diff)
	}
}

func TestIOThreadsLeaveDedicatedCPUsToo(t *testing.T) {
	alone := dedicated()
	s := newLargeStage(t, vmtest.Bound(), alone)
	s.mustTurn()
	// The emulator is where it should be already, and one of two I/O threads.
	d := s.host.domains[vmtest.UID]
	d.Binding = besides
	d.Binding.IOThreads = []string{"0-1,4-7", ""}
	s.host.domains[vmtest.UID] = d
	s.restart()
	s.turnOf(alone)
	want := besides
	want.IOThreads = []string{"0-1,4-7", "0-1,4-7"}
	if diff := cmp.Diff(want, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Error(diff)
	}
}
