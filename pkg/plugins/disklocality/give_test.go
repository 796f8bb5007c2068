package disklocality

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// placed is a VM that is on host a and names disks.
func placed(name string, disks ...string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
	for _, d := range disks {
		vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: d, DiskName: d})
	}
	return vm
}

func TestDisksAreGivenToAVMThatHasAHost(t *testing.T) {
	for name, test := range map[string]struct {
		disks  []*v1alpha1.VirtualDisk
		others []string
		want   []string
		stored []string
	}{
		"one that is at home nowhere":           {disks: []*v1alpha1.VirtualDisk{disk("d", 2)}, stored: []string{"d: {NodeName:a PoolName:default Store:} for vm"}},
		"one that is at home there":             {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("a"))}, stored: []string{"d: {NodeName:a PoolName: Store:} for vm"}},
		"one that it has":                       {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("a"), claimedBy("vm"))}},
		"one that a VM had that has no host":    {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("a"), claimedBy("other"))}, stored: []string{"d: {NodeName:a PoolName: Store:} for vm"}},
		"one that another VM has":               {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("a"), claimedBy("other"))}, others: []string{"other"}, want: []string{"DiskInUse: VirtualDisk d has a single writer, VirtualMachine other: stop that with whenStopped Release, or leave the disk out of its spec.disks"}},
		"one that is not there":                 {want: []string{"DiskMissing: there is no VirtualDisk d in namespace ns: create it, or leave it out of spec.disks"}},
		"one that is at home elsewhere":         {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("b"))}, want: []string{"DiskElsewhere: VirtualDisk d is on host b and the VM on a: make a copy of it here, leave it out of spec.disks, or stop the VM with whenStopped Release, and start it, so that it is placed where all its disks are"}},
		"one that there is no room for":         {disks: []*v1alpha1.VirtualDisk{disk("d", 11)}, want: []string{"NoSpace: VirtualDisk d: host a is one of those that have less than 11Gi left in storage pool default: see to that, or stop the VM with whenStopped Release, and start it, so that it is placed anew"}},
		"one that there is no room for besides": {disks: []*v1alpha1.VirtualDisk{disk("d", 6), disk("e", 5, home("a"))}, want: []string{"NoSpace: VirtualDisk d: host a is one of those that have less than 6Gi left in storage pool default: see to that, or stop the VM with whenStopped Release, and start it, so that it is placed anew"}},
		"one that many may read":                {disks: []*v1alpha1.VirtualDisk{disk("d", 2, home("a"), readOnly)}},
		"one in a store that the host has not":  {disks: []*v1alpha1.VirtualDisk{disk("d", 2, inStore)}, want: []string{"DiskElsewhere: VirtualDisk d: host a is one of those that do not have netfs://s/x, where VirtualDisk d is, as storage pool shared: see to that, or stop the VM with whenStopped Release, and start it, so that it is placed anew"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := on(t, test.disks...)
			for _, other := range test.others {
				s.vms[other] = placed(other)
			}
			refused, err := s.disks.Give(t.Context(), placed("vm", "d"), s.fleet.Hypervisor("a"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range refused {
				got = append(got, r.Reason+": "+r.Message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.stored, s.writer.stored); diff != "" {
				t.Errorf("stored: %s", diff)
			}
		})
	}
}

// What is given is counted before the disk shows it, and not twice after.
func TestWhatIsGivenIsCounted(t *testing.T) {
	s := on(t, disk("d", 6), disk("e", 6))
	hv := s.fleet.Hypervisor("a")
	if refused, err := s.disks.Give(t.Context(), placed("vm", "d", "e"), hv); err != nil || len(refused) != 1 || refused[0].Disk != "e" {
		t.Fatalf("%+v, %v", refused, err)
	}
	s.disks.See(disk("d", 6, home("a"), claimedBy("vm")))
	if n := s.disks.Promises(); n != 0 {
		t.Errorf("%d promises are left", n)
	}
	if got := s.disks.claims[place{node: "a", pool: "default"}]; got != 6*gib {
		t.Errorf("%d bytes are counted", got)
	}
}

func TestWhatIsNotStoredIsNotHeld(t *testing.T) {
	for _, err := range []error{diskstatus.ErrStale, errors.New("forbidden")} {
		s := on(t, disk("d", 6))
		s.writer.err = err
		if _, got := s.disks.Give(t.Context(), placed("vm", "d"), s.fleet.Hypervisor("a")); !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
		if n, held := s.disks.Promises(), s.disks.claims[place{node: "a", pool: "default"}]; n != 0 || held != 0 {
			t.Errorf("%v: %d promises, %d bytes are held", err, n, held)
		}
	}
	// Of what may have been stored the space is held until the disk tells.
	s := on(t, disk("d", 6))
	s.writer.err = diskstatus.ErrUnknown
	if _, err := s.disks.Give(t.Context(), placed("vm", "d"), s.fleet.Hypervisor("a")); err == nil {
		t.Error("no error")
	}
	if held := s.disks.claims[place{node: "a", pool: "default"}]; held != 6*gib {
		t.Errorf("%d bytes are held", held)
	}
}

// A VM that is just being placed with a disk has it first.
func TestADiskThatIsBeingPlacedIsNotGiven(t *testing.T) {
	s := on(t, disk("d", 2))
	if got := s.Reserve(t.Context(), nil, pod("other", "d"), "a"); !got.IsSuccess() {
		t.Fatal(got)
	}
	refused, err := s.disks.Give(t.Context(), placed("vm", "d"), s.fleet.Hypervisor("a"))
	if err != nil || len(refused) != 1 || refused[0].Reason != v1alpha1.ReasonDiskInUse || len(s.writer.stored) > 0 {
		t.Errorf("%+v, %v; stored %v", refused, err, s.writer.stored)
	}
	if s.disks.Promises() != 1 {
		t.Errorf("%d promises", s.disks.Promises())
	}
}
