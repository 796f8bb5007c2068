package executor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// mayGrow is a VM of 1 vCPU and 1 GiB that may have 3 and 4 GiB. The namespace of
// stages is restricted: its balloon is not asked about here.
func mayGrow(vm *v1alpha1.VirtualMachine) {
	most := resource.MustParse("4Gi")
	vm.Spec.Resources.MaxCPU, vm.Spec.Resources.MaxMemory = 3, &most
}

// grows is a stage on which that VM runs.
func grows(t *testing.T) *stage {
	t.Helper()
	s := newStage(t, scheduled(mayGrow))
	s.privileged()
	s.mustTurn()
	if got := s.said(); got.State != v1alpha1.HostRunning || got.CPU != 1 || got.Memory != 1<<30 {
		t.Fatalf("%+v", got)
	}
	s.host.done, s.writes = nil, nil
	return s
}

// granted is what the scheduler writes when a guest may grow, or has given memory
// back.
func (s *stage) granted(cpu int32, gib int64) {
	s.edit(func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement.Granted.CPU, vm.Status.Placement.Granted.Memory = cpu, gib<<30
	})
}

func size(cpu int32, amount string) func(*v1alpha1.VirtualMachineSpec) {
	return func(spec *v1alpha1.VirtualMachineSpec) {
		spec.Resources.CPU = cpu
		memory(amount)(spec)
	}
}

// sized holds the guest, its mark and what is reported against a size.
func (s *stage) sized(cpu int32, gib int64) {
	s.t.Helper()
	d := ownership.Observe(s.host.domains[vmtest.UID])
	want, guest := v1alpha1.GuestSize{CPU: cpu, Memory: gib << 30}, v1alpha1.GuestSize{CPU: int32(d.VCPUs), Memory: d.CurrentMemory}
	reported := v1alpha1.GuestSize{CPU: s.said().CPU, Memory: s.said().Memory}
	if guest != want || d.Ownership.Granted.Size() != want || reported != want {
		s.t.Errorf("want %+v: the guest has %+v, its mark says %+v, reported is %+v", want, guest, d.Ownership.Granted.Size(), reported)
	}
}

func TestAGuestIsGivenWhatIsGrantedMore(t *testing.T) {
	s := grows(t)
	s.edited(size(2, "3Gi"))
	s.mustTurn()
	s.sized(1, 1)
	if c := s.restartRequired(); c != nil || len(s.host.done) != 0 || len(s.writes) != 0 {
		t.Errorf("before it is granted: %+v; it did %v and wrote %v", c, s.host.done, s.writes)
	}

	s.granted(2, 3)
	s.mustTurn()
	s.mustTurn()
	s.sized(2, 3)
	if diff := cmp.Diff([]string{"mark", "plug CPUs", "set memory"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	if diff := cmp.Diff([]string{"patch *v1alpha1.VirtualMachine status"}, s.writes); diff != "" {
		t.Errorf("writes: %s", diff)
	}
	if c, vm := s.restartRequired(), s.vm(); c != nil || vm.Status.ObservedGeneration != vm.Generation {
		t.Errorf("it runs as of %d of %d, %+v", vm.Status.ObservedGeneration, vm.Generation, c)
	}

	// Another executor knows all of that from the domain, and changes nothing.
	s.restart()
	s.mustTurn()
	if len(s.host.done) != 3 || len(s.writes) != 1 {
		t.Errorf("again it did %v and wrote %v", s.host.done, s.writes)
	}
}

func TestWhatDoesNotTakeEffectLiveWaitsForTheRestart(t *testing.T) {
	s := grows(t)
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) {
		size(2, "8Gi")(spec)
		domainOf(`{"title":"new"}`)(spec)
	})
	s.mustTurn()
	const want = "spec.domain.title, spec.resources.memory take effect at the next start, for which the VM is placed anew"
	if c := s.restartRequired(); c == nil || c.Message != want {
		t.Errorf("%+v", c)
	}
	s.granted(2, 1)
	s.mustTurn()
	s.sized(2, 1)
	if c, vm := s.restartRequired(), s.vm(); c == nil || c.Message != want || vm.Status.ObservedGeneration != 7 {
		t.Errorf("after it has grown by a vCPU: %+v, runs as of %d", c, vm.Status.ObservedGeneration)
	}
	s.edited(size(1, "1Gi"))
	s.mustTurn()
	if c := s.restartRequired(); c == nil || c.Message != "spec.domain.title, spec.resources.cpu take effect at the next start, for which the VM is placed anew" {
		t.Errorf("a vCPU fewer: %+v", c)
	}
	if diff := cmp.Diff([]string{"mark", "plug CPUs"}, s.host.done); diff != "" {
		t.Errorf("a vCPU was taken away: %s", diff)
	}
}

func TestAHostThatHasTooLittleRefusesGrowth(t *testing.T) {
	s := grows(t)
	s.edited(size(2, "3Gi"))
	// Another leader has placed a VM here that the first did not know of.
	s.agent.registry.put(*vmtest.Domain(libvirt.StateRunning, func(d *ownership.Observed) {
		d.UUID, d.Ownership.Owner.Name, d.Ownership.Granted = "other", "other", v1alpha1.GrantedResources{CPU: 1, Memory: 6 << 30}
	}))
	s.granted(2, 3)
	s.mustTurn()
	s.mustTurn()
	refused := s.said().Refused
	want := &v1alpha1.GrowthRefusal{
		Granted: v1alpha1.GuestSize{CPU: 2, Memory: 3 << 30}, Held: v1alpha1.GuestSize{CPU: 1, Memory: 1 << 30},
		Reason: v1alpha1.ReasonHostUnfit, Message: "the host is full: need 3.1Gi of memory, 2Gi free",
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Error(diff)
	}
	s.sized(1, 1)
	if len(s.writes) != 1 || len(s.host.done) != 0 || s.said().State != v1alpha1.HostRunning || len(s.agent.registry.reserved) != 0 {
		t.Errorf("it wrote %v and did %v; %v is reserved", s.writes, s.host.done, s.agent.registry.reserved)
	}
	// The refusal stands over a restart until the leader has taken the grant back,
	// and is no answer to a grant of the same size after that.
	s.restart()
	s.mustTurn()
	if s.said().Refused == nil {
		t.Error("it was forgotten")
	}
	s.granted(1, 1)
	s.mustTurn()
	if s.said().Refused != nil {
		t.Errorf("it was taken back: %+v", s.said().Refused)
	}
	s.agent.registry.remove("other")
	s.granted(2, 3)
	s.mustTurn()
	s.sized(2, 3)
}

// The pages that a guest lies in are not free, and it needs no others for vCPUs.
func TestAGuestInHugepagesIsGivenVCPUs(t *testing.T) {
	s := newStage(t, scheduled(func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.MaxCPU, vm.Spec.Resources.Hugepages = 3, &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}
	}))
	s.hugepages(libvirt.Pages{Size2Mi: 512})
	s.restart()
	s.mustTurn()
	s.host.free = []libvirt.CellFree{{}}
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.Resources.CPU = 3 })
	s.granted(3, 1)
	s.mustTurn()
	if d := s.host.domains[vmtest.UID]; d.VCPUs != 3 || s.said().CPU != 3 || s.said().Refused != nil {
		t.Errorf("it has %d vCPUs, its host says %+v", d.VCPUs, s.said())
	}
}

// emulated has the guest be one that QEMU emulates, with so much room for its code.
func (s *stage) emulated(cache int64) {
	d := s.host.domains[vmtest.UID]
	d.TranslationCache = cache
	s.host.domains[vmtest.UID] = d
}

func TestAnEmulatedGuestWithLittleRoomForCodeIsGivenMemoryAlone(t *testing.T) {
	s := grows(t)
	s.emulated(32 << 20)
	s.edited(size(3, "2Gi"))
	s.granted(3, 2)
	s.mustTurn()
	refused := s.said().Refused
	want := &v1alpha1.GrowthRefusal{
		Granted: v1alpha1.GuestSize{CPU: 3, Memory: 2 << 30}, Held: v1alpha1.GuestSize{CPU: 1, Memory: 1 << 30}, Reason: v1alpha1.ReasonGrowthFailed,
		Message: "a guest without KVM may not survive another vCPU: QEMU has 32Mi for its translated code (spec.domain.features.tcg.tbCache), and 256Mi are needed; restart it to have the vCPUs",
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Fatal(diff)
	}
	s.granted(1, 1) // the leader takes it back
	s.mustTurn()
	s.edited(size(1, "2Gi"))
	s.granted(1, 2)
	s.mustTurn()
	s.sized(1, 2)
}

func TestAnEmulatedGuestWithRoomForCodeIsGivenVCPUs(t *testing.T) {
	s := grows(t)
	s.emulated(roomyCache)
	s.edited(size(3, "1Gi"))
	s.granted(3, 1)
	s.mustTurn()
	s.sized(3, 1)
}

func TestVCPUsThatCannotBePluggedInAreGivenBack(t *testing.T) {
	s := grows(t)
	s.edited(size(3, "2Gi"))
	s.host.plugErr = errors.New("internal error: unable to execute QEMU command 'device_add'")
	s.granted(3, 2)
	s.mustTurn()
	refused := s.said().Refused
	want := &v1alpha1.GrowthRefusal{
		Granted: v1alpha1.GuestSize{CPU: 3, Memory: 2 << 30}, Held: v1alpha1.GuestSize{CPU: 1, Memory: 2 << 30}, Reason: v1alpha1.ReasonGrowthFailed,
		Message: "the guest could be given no more than 1 vCPU: internal error: unable to execute QEMU command 'device_add'",
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Fatal(diff)
	}
	s.granted(1, 2)
	s.mustTurn()
	s.sized(1, 2)
}

func TestALibvirtThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	s := grows(t)
	s.edited(size(2, "1Gi"))
	s.host.plugErr = libvirt.ErrTimeout
	s.granted(2, 1)
	s.mustTurn()
	s.mustTurn()
	if got := s.said(); got.Refused != nil || got.State != v1alpha1.HostRunning || got.Reason != v1alpha1.ReasonResizeFailed ||
		got.Message != "giving the guest the size that is granted failed and is tried again: libvirt did not answer in time; `virtctl stop --force -n default guest` ends a guest that hangs" {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{"mark", "plug CPUs"}, s.host.done); diff != "" {
		t.Errorf("at once again: %s", diff)
	}
	s.host.plugErr = nil
	s.clock.Step(plan.FirstBackoff)
	s.mustTurn()
	s.sized(2, 1)
	if got := s.said(); got.Reason != "" {
		t.Errorf("%+v", got)
	}
}

func TestAGuestGivesMemoryBackBeforeTheGrantFalls(t *testing.T) {
	s := grows(t)
	s.granted(1, 3)
	s.edited(size(1, "3Gi"))
	s.mustTurn()
	s.sized(1, 3)
	s.edited(size(1, "2Gi"))
	s.mustTurn()
	d := ownership.Observe(s.host.domains[vmtest.UID])
	if d.CurrentMemory != 2<<30 || d.Ownership.Granted.Memory != 3<<30 || s.said().Memory != 2<<30 {
		t.Errorf("the guest has %d, its mark says %d, reported is %d", d.CurrentMemory, d.Ownership.Granted.Memory, s.said().Memory)
	}
	s.granted(1, 2)
	s.mustTurn()
	s.sized(1, 2)
	if c := s.restartRequired(); c != nil {
		t.Errorf("%+v", c)
	}
}

func TestABalloonThatDoesNotMoveIsReportedAndToldEverMoreSeldom(t *testing.T) {
	s := grows(t)
	s.host.noBalloon = true
	s.granted(1, 3)
	s.edited(size(1, "3Gi"))
	s.mustTurn()
	if len(s.writes) != 0 {
		t.Errorf("it wrote %v before the balloon has come to rest", s.writes)
	}
	told := func() (n int) {
		for _, what := range s.host.done {
			if what == "set memory" {
				n++
			}
		}
		return n
	}
	for range 100 {
		s.clock.Step(10 * time.Second)
		s.mustTurn()
	}
	if n := told(); n < 4 || n > 6 {
		t.Errorf("in 1000 s it was told %d times", n)
	}
	if got := s.said(); got.Memory != 1<<30 || got.MemoryTarget != 3<<30 || len(s.writes) > 2 {
		t.Errorf("reported %+v with %d writes", got, len(s.writes))
	}
	// Another executor does not take it back at first.
	s.restart()
	s.mustTurn()
	if got := s.said(); got.MemoryTarget != 3<<30 || len(s.writes) > 2 {
		t.Errorf("after a restart %+v with %d writes", got, len(s.writes))
	}
	s.host.noBalloon = false
	s.clock.Step(plan.LastBalloon)
	s.mustTurn()
	s.sized(1, 3)
	if got := s.said(); got.MemoryTarget != 0 {
		t.Errorf("it came there: %+v", got)
	}
}

// How long is waited for a balloon, and that somebody looks then.
func TestABalloonIsGivenTimeBeforeItIsSaidToStay(t *testing.T) {
	s := grows(t)
	s.host.noBalloon = true
	s.granted(1, 3)
	s.edited(size(1, "3Gi"))
	for passed := time.Duration(0); passed < 5*time.Minute; {
		again, err := s.agent.turn(t.Context(), guestKey)
		if err != nil || again == 0 {
			t.Fatalf("after %s: look again in %s, %v", passed, again, err)
		}
		if told := s.said().MemoryTarget != 0; told != (passed >= plan.BalloonPatience) {
			t.Fatalf("after %s: %+v", passed, s.said())
		} else if told {
			if passed > plan.BalloonPatience+plan.Settle {
				t.Errorf("said after %s", passed)
			}
			return
		}
		s.clock.Step(again)
		passed += again
	}
	t.Error("it was never said")
}

// A guest that was to grow and ended is started with what is granted, if the host
// still has it: its domain holds no more than its mark says.
func TestAGuestThatEndedBeforeItGrewIsAcceptedAnew(t *testing.T) {
	for _, room := range []bool{true, false} {
		t.Run(fmt.Sprintf("room %t", room), func(t *testing.T) {
			s := grows(t)
			_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonShutDown)
			s.edited(size(2, "3Gi"))
			s.granted(2, 3)
			if !room {
				s.host.domains["other"] = vmtest.Domain(libvirt.StateRunning, func(d *ownership.Observed) { d.UUID, d.Name, d.Metadata = "other", "other", "" }).Domain
				d := s.host.domains["other"]
				d.CPU, d.Memory = 1, 6<<30
				s.host.domains["other"] = d
				s.restart()
			}
			s.mustTurn()
			s.clock.Step(plan.LastBackoff)
			s.mustTurn()
			if room {
				s.sized(2, 3)
				return
			}
			if got := s.said(); got.State != v1alpha1.HostRejected || got.Reason != v1alpha1.ReasonHostUnfit {
				t.Errorf("%+v", got)
			}
		})
	}
}
