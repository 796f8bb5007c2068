package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// virtualDisk is one at home on the test's host, ready, and the VM's own.
func virtualDisk(name string, changes ...func(*v1alpha1.VirtualDisk)) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(fmt.Sprintf("%012x", len(name)*1000+int(name[0])))}}
	size := resource.MustParse("1Gi")
	d.Spec.Size = &size
	d.Status = v1alpha1.VirtualDiskStatus{
		Phase: v1alpha1.DiskReady, NodeName: vmtest.Node, PoolName: "default", VolumeName: d.VolumeName(), Format: v1alpha1.DiskQCOW2, Capacity: 1 << 30,
		ClaimedBy:  &v1alpha1.DiskClaim{Name: "guest", UID: vmtest.UID},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionDiskReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVolumeReady}},
	}
	for _, f := range changes {
		f(d)
	}
	return d
}

func unclaimed(d *v1alpha1.VirtualDisk) { d.Status.ClaimedBy = nil }
func away(d *v1alpha1.VirtualDisk)      { d.Status.ClaimedBy, d.Status.NodeName = nil, "host-b" }

// entry is a disk of spec.disks that is named as its VirtualDisk.
func entry(name string, changes ...func(*v1alpha1.VirtualMachineDisk)) v1alpha1.VirtualMachineDisk {
	d := v1alpha1.VirtualMachineDisk{Name: name, DiskName: name}
	for _, f := range changes {
		f(&d)
	}
	return d
}

func on(bus v1alpha1.DiskBus) func(*v1alpha1.VirtualMachineDisk) {
	return func(d *v1alpha1.VirtualMachineDisk) { d.Bus = bus }
}

// drive is a CD-ROM with a disk, or none, in it.
func drive(disk string) v1alpha1.VirtualMachineDisk {
	return v1alpha1.VirtualMachineDisk{Name: "drive", DiskName: disk, Type: v1alpha1.DeviceCDROM}
}

func disksOf(disks ...v1alpha1.VirtualMachineDisk) func(*v1alpha1.VirtualMachineSpec) {
	return func(spec *v1alpha1.VirtualMachineSpec) { spec.Disks = disks }
}

// runsWith is a stage on which the VM runs with these disks.
func runsWith(t *testing.T, disks []v1alpha1.VirtualMachineDisk, objects ...client.Object) *stage {
	t.Helper()
	s := newStage(t, append(objects, scheduled(func(vm *v1alpha1.VirtualMachine) { vm.Spec.Disks = disks }))...)
	s.mustTurn()
	if got := s.said(); got == nil || got.State != v1alpha1.HostRunning {
		t.Fatalf("%+v", got)
	}
	s.host.done, s.writes = nil, nil
	s.told()
	return s
}

// has lists the guest's disks, as name=volume's disk.
func (s *stage) has() []string {
	var out []string
	for _, d := range s.host.domains[vmtest.UID].Disks {
		name, _ := convert.DiskOfAlias(d.Alias)
		_, disk, _ := v1alpha1.DiskOfVolume(d.Volume.Name)
		out = append(out, name+"="+disk)
	}
	slices.Sort(out)
	return out
}

func (s *stage) hasDisks(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.has()); diff != "" {
		s.t.Errorf("the guest's disks: %s", diff)
	}
}

// isSettled holds that all agree on what the guest has: the spec, the guest, its
// definition, its mark and the status.
func (s *stage) isSettled() {
	s.t.Helper()
	vm, d := s.vm(), ownership.Observe(s.host.domains[vmtest.UID])
	var want, said, defined []string
	for _, disk := range vm.Spec.Disks {
		want = append(want, disk.Name+"="+disk.DiskName)
	}
	for _, disk := range vm.Status.Host.Disks {
		said = append(said, disk.Name+"="+disk.DiskName)
	}
	for alias := range s.host.defined {
		name, _ := convert.DiskOfAlias(alias)
		defined = append(defined, name)
	}
	slices.Sort(want)
	slices.Sort(said)
	slices.Sort(defined)
	if diff := cmp.Diff(want, s.has()); diff != "" {
		s.t.Errorf("the guest's disks: %s", diff)
	}
	if diff := cmp.Diff(want, said); diff != "" {
		s.t.Errorf("status.host.disks: %s", diff)
	}
	for i := range want {
		want[i], _, _ = strings.Cut(want[i], "=")
	}
	if diff := cmp.Diff(want, defined); diff != "" {
		s.t.Errorf("its definition's disks: %s", diff)
	}
	if changed, known := d.Ownership.Spec.Changed(&vm.Spec); !known || len(changed) > 0 || d.Ownership.Generation != vm.Generation || vm.Status.ObservedGeneration != vm.Generation {
		s.t.Errorf("the mark is of generation %d, differs in %v, and %d of %d is reported", d.Ownership.Generation, changed, vm.Status.ObservedGeneration, vm.Generation)
	}
	if s.disksPending() != "" || s.restartRequired() != nil {
		s.t.Errorf("pending: %s; %+v", s.disksPending(), s.restartRequired())
	}
}

func (s *stage) disksPending() string {
	c := meta.FindStatusCondition(s.vm().Status.Conditions, v1alpha1.ConditionDisksPending)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

// disk reads a VirtualDisk.
func (s *stage) disk(name string) *v1alpha1.VirtualDisk {
	s.t.Helper()
	d := &v1alpha1.VirtualDisk{}
	if err := s.api.Get(context.Background(), client.ObjectKey{Namespace: "default", Name: name}, d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) claim(name string, claim *v1alpha1.DiskClaim) {
	s.t.Helper()
	d := s.disk(name)
	d.Status.NodeName, d.Status.ClaimedBy = vmtest.Node, claim
	if err := s.api.Status().Update(context.Background(), d); err != nil {
		s.t.Fatal(err)
	}
}

// wants is a user who edits spec.disks, and a leader who gives the VM what it names.
func (s *stage) wants(disks ...v1alpha1.VirtualMachineDisk) {
	s.t.Helper()
	s.edited(disksOf(disks...))
	for _, name := range s.vm().DiskNames() {
		s.claim(name, &v1alpha1.DiskClaim{Name: "guest", UID: vmtest.UID})
	}
}

func (s *stage) steps(d time.Duration) {
	s.t.Helper()
	s.clock.Step(d)
	s.mustTurn()
}

func TestADiskIsPluggedIn(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("root")}, virtualDisk("root"), virtualDisk("data", unclaimed))
	s.wants(entry("root"), entry("data", func(d *v1alpha1.VirtualMachineDisk) { d.Serial = "s" }))
	s.mustTurn()
	s.isSettled()
	if diff := cmp.Diff([]string{"define disk", "attach", "forget disks", "mark"}, s.host.done); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"patch *v1alpha1.VirtualMachine status"}, s.writes); diff != "" {
		t.Errorf("writes: %s", diff)
	}
	if got := s.host.domains[vmtest.UID].Disks[1]; got.Target != "vdb" || got.Serial != "s" || got.Bus != "virtio" {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{"DiskPlugged"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
	// Another executor knows all of that from the domain; and what was plugged in is
	// there at the next start.
	s.restart()
	s.mustTurn()
	if len(s.host.done) != 4 || len(s.writes) != 1 {
		t.Errorf("again it did %v and wrote %v", s.host.done, s.writes)
	}
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerStopped })
	s.mustTurn()
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerRunning })
	s.mustTurn()
	s.isSettled()
}

func TestADiskThatIsNotTheVMsIsWaitedFor(t *testing.T) {
	s := runsWith(t, nil, virtualDisk("data", unclaimed))
	s.edited(disksOf(entry("data")))
	s.mustTurn()
	s.hasDisks()
	if len(s.writes) != 0 {
		t.Errorf("said at once: %v", s.writes)
	}
	s.steps(plan.PlugGrace)
	if got, want := s.disksPending(), "True WaitingForDisks: VirtualDisk data is not this VM's: condition DiskClaimsPending says why, if that lasts"; got != want {
		t.Errorf("got %q", got)
	}
	if c := s.restartRequired(); c != nil {
		t.Errorf("%+v", c)
	}
	s.claim("data", &v1alpha1.DiskClaim{Name: "guest", UID: vmtest.UID})
	s.mustTurn()
	s.isSettled()
}

func TestADiskOnAnotherHostNeedsAnotherPlace(t *testing.T) {
	s := runsWith(t, nil, virtualDisk("data", away))
	s.edited(disksOf(entry("data")))
	s.mustTurn()
	if c := s.restartRequired(); c == nil || c.Message != "spec.disks[data] (VirtualDisk data is on host host-b) takes effect at the next start, for which the VM is placed anew" {
		t.Errorf("%+v", c)
	}
	if s.disksPending() != "" || len(s.host.done) > 0 {
		t.Errorf("%s; did %v", s.disksPending(), s.host.done)
	}
}

func TestWhatCannotBePluggedInWaitsForTheRestart(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("root", on(v1alpha1.BusSATA))}, virtualDisk("root"), virtualDisk("data", unclaimed), virtualDisk("more", unclaimed))
	s.wants(entry("data", on(v1alpha1.BusIDE)), entry("more"))
	s.mustTurn()
	s.hasDisks("more=more", "root=root")
	const want = "spec.disks[root] (a disk on bus sata cannot be plugged in or out while the guest runs), " +
		"spec.disks[data] (a disk on bus ide cannot be plugged in or out while the guest runs) take effect at the next start"
	if c := s.restartRequired(); c == nil || c.Message != want {
		t.Errorf("%+v", c)
	}
	if s.disksPending() != "" {
		t.Error(s.disksPending())
	}
	if s.disk("root").Status.ClaimedBy == nil {
		t.Error("root was given back while the guest has it")
	}
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerStopped })
	s.mustTurn()
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerRunning })
	s.mustTurn()
	s.isSettled()
	if s.disk("root").Status.ClaimedBy != nil {
		t.Error("root was not given back")
	}
}

func TestADiskIsGivenUp(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("root"), entry("data")}, virtualDisk("root"), virtualDisk("data"))
	s.edited(disksOf(entry("root")))
	s.mustTurn()
	s.isSettled()
	if diff := cmp.Diff([]string{"detach", "forget disks", "mark"}, s.host.done); diff != "" {
		t.Error(diff)
	}
	if c := s.disk("data").Status.ClaimedBy; c != nil {
		t.Errorf("it is still %+v's", c)
	}
	if c := s.disk("root").Status.ClaimedBy; c == nil {
		t.Error("the other one was given back too")
	}
	if diff := cmp.Diff([]string{"DiskGivenBack"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
}

func TestAGuestThatKeepsADisk(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("data")}, virtualDisk("data"))
	s.host.keeps = true
	s.edited(disksOf())
	s.mustTurn()
	if diff := cmp.Diff([]string{"detach"}, s.host.done); diff != "" {
		t.Error(diff)
	}
	s.steps(plan.PlugGrace)
	const want = "True WaitingForGuest: the guest was asked to give up disk data (VirtualDisk data) and has it still: see that nothing uses it there; a guest that has no driver for that keeps it until it is started anew"
	if got := s.disksPending(); got != want {
		t.Errorf("got %q", got)
	}
	// An executor that has forgotten that it asked says nothing new, and asks again.
	writes := len(s.writes)
	s.restart()
	s.mustTurn()
	if got := s.disksPending(); got != want || len(s.writes) != writes || s.did("detach") != 2 {
		t.Errorf("after a restart %q, it wrote %v and did %v", got, s.writes[writes:], s.host.done)
	}
	for range 100 {
		s.steps(10 * time.Second)
	}
	if n := s.did("detach"); n < 5 || n > 9 {
		t.Errorf("in 1000 s it was asked %d times", n)
	}
	if len(s.writes) != writes {
		t.Errorf("it wrote %v", s.writes[writes:])
	}
	if s.disk("data").Status.ClaimedBy == nil {
		t.Error("the claim was given back while the guest has the disk")
	}
	s.host.givesUp(vmtest.UID, convert.DiskAlias("data"))
	s.mustTurn()
	s.isSettled()
	if s.disk("data").Status.ClaimedBy != nil {
		t.Error("the claim was not given back")
	}
}

func TestAGuestThatKeepsADiskIsStartedAnewWithoutIt(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("data")}, virtualDisk("data"))
	s.host.keeps = true
	s.edited(disksOf())
	s.mustTurn()
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerStopped })
	s.mustTurn()
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerRunning })
	s.mustTurn()
	s.isSettled()
	if s.disk("data").Status.ClaimedBy != nil {
		t.Error("the claim was not given back")
	}
}

// What a guest was asked for and the user has taken back may still come: then it is
// given the disk again.
func TestADiskThatIsWantedAgain(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("data")}, virtualDisk("data"))
	s.host.keeps = true
	s.edited(disksOf())
	s.mustTurn()
	s.edited(disksOf(entry("data")))
	s.mustTurn()
	s.isSettled()
	s.host.givesUp(vmtest.UID, convert.DiskAlias("data"))
	s.mustTurn()
	s.isSettled()
	if s.did("attach") != 1 || s.disk("data").Status.ClaimedBy == nil {
		t.Errorf("it did %v", s.host.done)
	}
}

// An overlay that a snapshot has put on a disk hides which volume the guest has.
func TestNothingIsGivenBackThatAnOverlayMayHide(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("data")}, virtualDisk("data"))
	disks := slices.Clone(s.host.domains[vmtest.UID].Disks)
	disks[0].Volume = libvirt.VolumeRef{}
	s.host.setDisks(vmtest.UID, disks)
	s.host.keeps = true
	s.edited(disksOf())
	s.mustTurn()
	s.mustTurn()
	if s.disk("data").Status.ClaimedBy == nil {
		t.Fatal("the claim was given back")
	}
	s.host.givesUp(vmtest.UID, convert.DiskAlias("data"))
	s.mustTurn()
	if s.disk("data").Status.ClaimedBy != nil {
		t.Error("the claim was not given back")
	}
}

// A guest whose memory is saved goes on with the disks of then.
func TestADiskOfASavedGuestIsKept(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("data")}, virtualDisk("data"))
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerSuspended })
	s.settles()
	s.edited(disksOf())
	s.mustTurn()
	if s.disk("data").Status.ClaimedBy == nil {
		t.Fatal("the claim was given back")
	}
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerRunning })
	s.mustTurn()
	s.isSettled()
	if s.disk("data").Status.ClaimedBy != nil {
		t.Error("the claim was not given back")
	}
}

func TestAMediumIsChanged(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{drive("first")}, virtualDisk("first"), virtualDisk("other", unclaimed))
	s.wants(drive("other"))
	s.mustTurn()
	s.isSettled()
	if s.disk("first").Status.ClaimedBy != nil {
		t.Error("the claim was not given back")
	}
	s.wants(drive(""))
	s.mustTurn()
	s.isSettled()
	if diff := cmp.Diff([]string{"MediumChanged", "DiskGivenBack", "MediumChanged", "DiskGivenBack"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
}

func TestAGuestThatHasLockedItsTray(t *testing.T) {
	s := runsWith(t, []v1alpha1.VirtualMachineDisk{drive("first")}, virtualDisk("first"))
	s.host.locked = true
	s.edited(disksOf(drive("")))
	s.mustTurn()
	s.steps(plan.PlugGrace)
	if got, want := s.disksPending(), "True WaitingForGuest: the guest has locked the tray of drive: unmount what is in it there, or set forceEject"; got != want {
		t.Errorf("got %q", got)
	}
	if c := s.restartRequired(); c != nil {
		t.Errorf("%+v", c)
	}
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.Disks[0].ForceEject = true })
	s.steps(plan.LastBackoff)
	s.isSettled()
}

func TestPluggingInThatFailsIsTriedAgain(t *testing.T) {
	s := runsWith(t, nil, virtualDisk("data", unclaimed))
	s.host.attachErr = errors.New("internal error: No more available PCI slots")
	s.wants(entry("data"))
	s.mustTurn()
	s.mustTurn()
	s.steps(plan.PlugGrace)
	const why = "plugging in of disk data (VirtualDisk data) failed and is tried again: internal error: No more available PCI slots"
	if got := s.disksPending(); got != "True HotPlugFailed: "+why {
		t.Errorf("got %q", got)
	}
	if c := s.restartRequired(); c == nil || c.Message != "spec.disks[data] ("+why+") takes effect at the next start" {
		t.Errorf("%+v", c)
	}
	s.host.attachErr = nil
	s.steps(plan.FirstBackoff)
	s.isSettled()
}

func TestAHostThatCannotPlugIn(t *testing.T) {
	s := runsWith(t, nil, virtualDisk("data", unclaimed))
	s.host.attachErr = libvirt.ErrUnsupported
	s.wants(entry("data"))
	s.mustTurn()
	s.steps(plan.PlugGrace)
	if c := s.restartRequired(); c == nil || s.disksPending() != "" {
		t.Errorf("%+v, %s", c, s.disksPending())
	}
}

// A watch that has not heard that a disk was given to another VM has nobody plug it
// in.
func TestADiskThatHasBecomeAnothersIsNotPluggedIn(t *testing.T) {
	s := runsWith(t, nil, virtualDisk("data", unclaimed))
	s.wants(entry("data"))
	old := s.disk("data")
	s.agent.volumes.Disks = lateCache{cacheOf{s.api}, old}
	s.claim("data", &v1alpha1.DiskClaim{Name: "other", UID: "other"})
	s.mustTurn()
	s.hasDisks()
	if s.did("attach") != 0 {
		t.Errorf("it did %v", s.host.done)
	}
}

// lateCache is a watch that has not heard of what became of a disk.
type lateCache struct {
	cacheOf
	old *v1alpha1.VirtualDisk
}

func (c lateCache) Disk(context.Context, types.NamespacedName) *v1alpha1.VirtualDisk { return c.old }

// The process dies at each of its changes, before or after that took effect, while
// it plugs a disk in, takes one away, changes a medium and renames an entry. What is
// there in the end is the same; and at no time has the guest a disk that is not the
// VM's.
func TestAnExecutorThatDiesAmidPlugging(t *testing.T) {
	for _, after := range []bool{false, true} {
		for nth := 1; ; nth++ {
			s := runsWith(t, []v1alpha1.VirtualMachineDisk{entry("root"), entry("old"), drive("first")},
				virtualDisk("root"), virtualDisk("old"), virtualDisk("first"), virtualDisk("other", unclaimed), virtualDisk("new", unclaimed))
			renamed := entry("root")
			renamed.Name = "system"
			s.wants(renamed, entry("new"), drive("other"))
			n := 0
			hook := func(string) (error, error) {
				n++
				switch {
				case n < nth:
					return nil, nil
				case n == nth && after:
					return nil, errCrash
				}
				return errCrash, nil
			}
			s.host.step, s.refuse = hook, hook
			for range 5 {
				_ = s.turn()
				s.clock.Step(time.Second)
				s.owns()
			}
			reached := n >= nth
			s.host.step = func(string) (error, error) { return nil, nil }
			s.refuse = s.host.step
			s.restart()
			for range 10 {
				s.steps(10 * time.Second)
				s.owns()
			}
			s.isSettled()
			for _, gone := range []string{"old", "first"} {
				if s.disk(gone).Status.ClaimedBy != nil {
					t.Errorf("%s is the VM's still", gone)
				}
			}
			if t.Failed() {
				t.Fatalf("it died at change %d (after it: %v); it did %v", nth, after, s.host.done)
			}
			if !reached {
				if nth < 8 {
					t.Fatalf("there were only %d changes", n)
				}
				break
			}
		}
	}
}

// owns holds that each volume that the guest has is once in it, and claimed.
func (s *stage) owns() {
	s.t.Helper()
	seen := map[string]bool{}
	for _, v := range s.host.domains[vmtest.UID].Volumes {
		_, name, _ := v1alpha1.DiskOfVolume(v.Name)
		if seen[name] {
			s.t.Errorf("the guest has %s twice", name)
		}
		seen[name] = true
		if c := s.disk(name).Status.ClaimedBy; c == nil || c.UID != vmtest.UID {
			s.t.Errorf("the guest has %s, which is %+v's", name, c)
		}
	}
}
