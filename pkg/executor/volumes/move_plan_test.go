package volumes

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func moving(state v1alpha1.DiskMoveState) change {
	return func(d *v1alpha1.VirtualDisk) {
		d.Status.MoveTo = &v1alpha1.DiskTarget{ID: "7", NodeName: "other", PoolName: "default"}
		if state != "" {
			d.Status.MoveProgress = &v1alpha1.DiskMoveProgress{ID: "7", State: state}
		}
	}
}

func TestPlanOfAMove(t *testing.T) {
	bound := []User{{VM: "VirtualMachine vm"}}
	earlier := func(d *v1alpha1.VirtualDisk) {
		d.Status.MoveProgress = &v1alpha1.DiskMoveProgress{ID: "6", State: v1alpha1.MoveCopied}
	}
	for name, test := range map[string]struct {
		in    Situation
		steps []Step
		says  string
	}{
		"it is sent": {
			in: Situation{Disk: disk("disk", holding, made, moving("")), Pool: pool, Volume: volume()}, steps: []Step{StepCarry},
		},
		"what was said of an earlier move is of that": {
			in: Situation{Disk: disk("disk", holding, made, moving(""), earlier), Pool: pool, Volume: volume()}, steps: []Step{StepCarry},
		},
		"a VM that has come to have it is waited for": {
			in:   Situation{Disk: disk("disk", holding, made, moving(v1alpha1.MoveCopying)), Pool: pool, Volume: volume(), Users: bound},
			says: "VirtualMachine vm has it",
		},
		"a snapshot that has come to be inside it is not lost": {
			in:   Situation{Disk: disk("disk", holding, made, moving("")), Pool: pool, Volume: volume(), Users: []User{{VM: "VirtualMachineSnapshot s", Snapshot: true}}},
			says: "VirtualMachineSnapshot s is inside it",
		},
		"one on an image stays": {
			in:   Situation{Disk: disk("disk", holding, made, moving("")), Pool: pool, Volume: &libvirt.Volume{Name: "x", Backing: "/image"}},
			says: "its volume stands on another one",
		},
		"an attempt that failed is told, and not repeated at once": {
			in: Situation{Disk: disk("disk", holding, made, moving("")), Pool: pool, Volume: volume(),
				Memory: Memory{Failures: 1, RetryAt: now.Add(1), Message: "host other does not take it: no"}, Now: now},
			says: "host other does not take it: no",
		},
		"once copied the volume goes": {
			in:    Situation{Disk: disk("disk", holding, made, moving(v1alpha1.MoveCopied)), Pool: pool, Volume: volume(), Users: bound},
			steps: []Step{StepRemove, StepLeave},
		},
		"also when it is gone already": {
			in:    Situation{Disk: disk("disk", holding, made, moving(v1alpha1.MoveCopied)), Pool: pool},
			steps: []Step{StepRemove, StepLeave},
		},
		"also of a disk that is deleted by now": {
			in:    Situation{Disk: disk("disk", deleted, made, moving(v1alpha1.MoveCopied)), Pool: pool, Volume: volume()},
			steps: []Step{StepRemove, StepLeave},
		},
		"a pool that is away is waited for": {
			in:   Situation{Disk: disk("disk", holding, made, moving(v1alpha1.MoveCopied))},
			says: "has no active storage pool default, where the volume was: start it",
		},
		"what has left is the scheduler's": {
			in: Situation{Disk: disk("disk", holding, made, moving(v1alpha1.MoveLeft)), Pool: pool},
		},
		"a disk that is deleted before it is copied goes where it is": {
			in:    Situation{Disk: disk("disk", deleted, made, moving(v1alpha1.MoveCopying)), Pool: pool, Volume: volume()},
			steps: []Step{StepRemove, StepUnmark, StepLetGo},
		},
		"at its new home the mark is taken away": {
			in: Situation{Disk: disk("disk", holding, made), Pool: pool, Volume: volume(), Marked: true}, steps: []Step{StepUnmark},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Node = node
			if test.in.Now.IsZero() {
				test.in.Now = now
			}
			got := Plan(test.in)
			if diff := cmp.Diff(test.steps, got.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			says := ""
			if got.Report != nil && got.Report.Move != nil {
				says = got.Report.Move.Message
			}
			if !strings.Contains(says, test.says) || test.says == "" && says != "" {
				t.Errorf("it says %q, want %q", says, test.says)
			}
		})
	}
}

func TestAPoolWhoseVolumesDoNotGrow(t *testing.T) {
	logical := &libvirt.Pool{Name: "default", Type: "logical", Capacity: 100 * gib}
	got := Plan(Situation{Node: node, Disk: disk("disk", holding, made, sized(2*gib)), Pool: logical, Volume: volume(), Room: 100 * gib, Now: now})
	if len(got.Steps) > 0 || got.Report == nil || got.Report.Reason != v1alpha1.ReasonVolumeReady || !strings.Contains(got.Report.Why, "make a VirtualDisk of 2Gi with this one as its source") {
		t.Errorf("%+v, %+v", got, got.Report)
	}
}

// forged is storage in which libvirt takes a raw volume for an image that stands on
// a file of the host, as the volume's first bytes say.
type forged struct{ libvirt.Storage }

func (f forged) Volume(ctx context.Context, pool, name string) (libvirt.Volume, error) {
	v, err := f.Storage.Volume(ctx, pool, name)
	v.Format, v.Capacity, v.Backing = libvirt.FormatQCOW2, 1<<40, "/etc/shadow"
	return v, err
}

func (f forged) CopyVolume(context.Context, string, libvirt.NewVolume, string, string) error {
	panic("libvirt was let read what the guest named")
}

func TestWhatAGuestWritesIsNotBelieved(t *testing.T) {
	ctx := context.Background()
	h := newHost(t, t.TempDir(), 100*gib)
	h.create("data", gib, func(d *v1alpha1.VirtualDisk) { d.Spec.Format = v1alpha1.DiskRaw })
	h.settle()
	d := h.get("data")
	h.storage.Storage = forged{h.storage.Storage}
	h.settle()
	if after := h.get("data"); !cmp.Equal(after.Status, d.Status) {
		t.Errorf("the status became what the guest said:\n%s", cmp.Diff(d.Status, after.Status))
	}
	// A raw copy is made byte by byte, and another one not at all.
	raw := libvirt.NewVolume{Name: "copy", Format: libvirt.FormatRaw, Capacity: gib}
	v := &libvirt.Volume{Name: d.VolumeName(), Format: libvirt.FormatRaw, Capacity: gib}
	if err := h.keeper.duplicate(ctx, "default", true, raw, "default", v, nil); err != nil {
		t.Error(err)
	}
	raw.Name, raw.Format = "converted", libvirt.FormatQCOW2
	if err := h.keeper.duplicate(ctx, "default", true, raw, "default", v, nil); err == nil || !strings.Contains(err.Error(), "only a raw copy can be made of it") {
		t.Errorf("a conversion: %v", err)
	}
}

// A pool that gives out what others have left shows none of it.
func TestANewVolumeShowsNothingOfOldOnes(t *testing.T) {
	ctx := context.Background()
	p := newPair(t, t.TempDir())
	k, s := p.hosts["a"].keeper, p.hosts["a"].stuff
	if err := s.CreateVolume(ctx, "blocks", libvirt.NewVolume{Name: "v", Format: libvirt.FormatRaw, Capacity: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	left := s.get("blocks", "v")
	for i := range left {
		left[i] = 1
	}
	if err := k.clear(ctx, "blocks", "logical", "v", 1000); err != nil {
		t.Fatal(err)
	}
	for i, b := range s.get("blocks", "v") {
		if want := i < 1000; want != (b == 1) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	if err := k.clear(ctx, "blocks", "dir", "v", 0); err != nil || s.get("blocks", "v")[0] != 1 {
		t.Errorf("a pool of files was written: %v", err)
	}
}
