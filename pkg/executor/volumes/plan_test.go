package volumes

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	node = "host"
	mib  = int64(1) << 20
	gib  = int64(1) << 30
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type change = func(*v1alpha1.VirtualDisk)

// disk has its home here and asks for 1 GiB.
func disk(name string, changes ...change) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "01234567-89ab-4def-8123-456789abcdef", Generation: 1}}
	d.Spec.Size = resource.NewQuantity(gib, resource.BinarySI)
	d.Spec.PoolName = "default"
	d.Status.NodeName, d.Status.PoolName = node, "default"
	for _, f := range changes {
		f(d)
	}
	return d
}

func holding(d *v1alpha1.VirtualDisk) { d.Finalizers = []string{v1alpha1.VolumeFinalizer} }

func deleted(d *v1alpha1.VirtualDisk) {
	holding(d)
	at := metav1.NewTime(now)
	d.DeletionTimestamp = &at
}

func retain(d *v1alpha1.VirtualDisk) { d.Spec.ReclaimPolicy = v1alpha1.DiskRetain }

func made(d *v1alpha1.VirtualDisk) {
	d.Status.VolumeName, d.Status.Capacity, d.Status.Format = d.VolumeName(), gib, v1alpha1.DiskQCOW2
}

func sized(bytes int64) change {
	return func(d *v1alpha1.VirtualDisk) { d.Spec.Size = resource.NewQuantity(bytes, resource.BinarySI) }
}

func copyOf(name string) change {
	return func(d *v1alpha1.VirtualDisk) {
		d.Spec.Source = &v1alpha1.DiskSource{Disk: &v1alpha1.DiskCloneSource{Name: name}}
	}
}

func volume() *libvirt.Volume {
	return &libvirt.Volume{Name: "ns.disk.vd-0123456789ab", Format: libvirt.FormatQCOW2, Capacity: gib}
}

var pool = &libvirt.Pool{Name: "default", Type: "dir", Capacity: 100 * gib, Available: 100 * gib}

func TestPlan(t *testing.T) {
	run := User{VM: "VirtualMachine vm", DomainUUID: "u", Running: true}
	saved := User{VM: "VirtualMachine vm", DomainUUID: "u", Saved: true}
	source := func(changes ...change) *Source {
		return &Source{Disk: disk("source", append([]change{made}, changes...)...), Volume: volume()}
	}
	for name, test := range map[string]struct {
		in    Situation
		steps []Step
		// reason and says are of the report; "" when there is none.
		reason, says string
		phase        v1alpha1.DiskPhase
		// sized is the reason for which the volume has not the disk's size.
		sized string
	}{
		"a disk at home elsewhere is left alone": {in: Situation{Disk: disk("disk", func(d *v1alpha1.VirtualDisk) { d.Status.NodeName = "other" }), Pool: pool}},
		"a disk that is gone":                    {in: Situation{}},
		"the object is held before anything is made": {
			in: Situation{Disk: disk("disk"), Pool: pool, Room: 9 * gib}, steps: []Step{StepHold},
		},
		"a blank volume": {
			in: Situation{Disk: disk("disk", holding), Pool: pool, Room: gib}, steps: []Step{StepMark, StepMake, StepUnmark},
		},
		"what is left of an attempt is removed first": {
			in: Situation{Disk: disk("disk", holding), Pool: pool, Room: gib, Volume: volume(), Marked: true}, steps: []Step{StepRemove, StepUnmark},
		},
		"a mark alone is what is left of an attempt too": {
			in: Situation{Disk: disk("disk", holding), Pool: pool, Room: gib, Marked: true}, steps: []Step{StepRemove, StepUnmark},
		},
		"a volume that is whole is taken, though the status does not know it": {
			in: Situation{Disk: disk("disk", holding), Pool: pool, Volume: volume()}, phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady,
		},
		"one that was whole is whole, whoever marked it": {
			in: Situation{Disk: disk("disk", holding, made), Pool: pool, Volume: volume(), Marked: true}, steps: []Step{StepUnmark},
		},
		"the finalizer was taken from one that is there": {
			in: Situation{Disk: disk("disk", made), Pool: pool, Volume: volume()}, steps: []Step{StepHold},
		},
		"a volume that is lost is not made anew": {
			in:    Situation{Disk: disk("disk", holding, made), Pool: pool, Room: 9 * gib},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonVolumeLost, says: "is not in storage pool default of host host any more: put it back under this name",
		},
		"no pool": {
			in:    Situation{Disk: disk("disk", holding)},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonPoolMissing, says: "no active storage pool default: define and start it there",
		},
		"the pool of one that was there": {
			in:    Situation{Disk: disk("disk", holding, made)},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonPoolMissing, says: "no active storage pool default",
		},
		"the pool is full": {
			in:    Situation{Disk: disk("disk", holding), Pool: pool, Room: gib - 1},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonPoolFull, says: "and it needs 1Gi",
		},
		"a failure waits": {
			in:    Situation{Disk: disk("disk", holding), Pool: pool, Room: gib, Memory: Memory{RetryAt: now.Add(time.Minute), Reason: v1alpha1.ReasonPoolFull, Message: "full"}},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonPoolFull, says: "full",
		},
		"qcow2 needs files": {
			in:    Situation{Disk: disk("disk", holding, func(d *v1alpha1.VirtualDisk) { d.Spec.Format = v1alpha1.DiskQCOW2 }), Pool: &libvirt.Pool{Type: "logical"}, Room: gib},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonInvalidVolume, says: "a pool of type logical has no qcow2 volumes",
		},
		"names of logical volumes are short": {
			in:    Situation{Disk: disk(strings.Repeat("x", 100), holding), Pool: &libvirt.Pool{Type: "logical"}, Room: gib},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonInvalidVolume, says: "10 characters too long",
		},
		"volumes of a target are its server's to make": {
			in:    Situation{Disk: disk("disk", holding), Pool: &libvirt.Pool{Type: "iscsi"}, Room: gib},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonInvalidVolume, says: "name another pool",
		},
		"a copy says that it is being made": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source")), Pool: pool, Room: gib, Source: source()},
			steps: []Step{StepMark, StepMake, StepUnmark}, phase: v1alpha1.DiskCreating, reason: v1alpha1.ReasonCreating, says: "copied from VirtualDisk source",
		},
		"nothing to copy": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source")), Pool: pool, Room: gib},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonSourceMissing, says: "create it",
		},
		"what is copied is elsewhere": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source")), Pool: pool, Room: gib, Source: source(func(d *v1alpha1.VirtualDisk) { d.Status.NodeName = "other" })},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonSourceElsewhere, says: "is on host other",
		},
		"what is copied is larger": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source"), sized(gib/2)), Pool: pool, Room: gib, Source: source()},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonSourceLarger, says: "has 1Gi, and spec.size is 512Mi",
		},
		"what is copied is being written": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source")), Pool: pool, Room: gib, Source: &Source{Disk: disk("source", made), Volume: volume(), Writer: &run}},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonSourceInUse, says: "VirtualMachine vm may be writing",
		},
		"a copy of no size needs as much as its source": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source"), func(d *v1alpha1.VirtualDisk) { d.Spec.Size = nil }), Pool: pool, Room: gib - 1, Source: source()},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonPoolFull, says: "it needs 1Gi",
		},
		"what is copied would be read as what it claims to be": {
			in:    Situation{Disk: disk("disk", holding, copyOf("source")), Pool: pool, Room: gib, Source: &Source{Disk: disk("source", made), Volume: volume(), Misread: "qcow2"}},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonInvalidVolume, says: "begins as a file of format qcow2",
		},
		"it is made of its image": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneFull)), Pool: pool, Room: gib, Image: image()},
			steps: []Step{StepMark, StepMake, StepUnmark}, phase: v1alpha1.DiskCreating, reason: v1alpha1.ReasonCreating, says: "made of VirtualDiskImage image",
		},
		"it stands on its image": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneBacking)), Pool: pool, Room: gib, Image: image()},
			steps: []Step{StepMark, StepMake, StepUnmark}, phase: v1alpha1.DiskCreating, reason: v1alpha1.ReasonCreating,
		},
		"its image has not been looked for": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneFull)), Pool: pool, Room: gib},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonImageNotReady,
		},
		"its image is being fetched": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneFull)), Pool: pool, Room: gib, Image: &Image{Reason: v1alpha1.ReasonImageNotReady, Message: "45%"}},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonImageNotReady, says: "45%",
		},
		"its image is larger": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneFull), sized(gib/2)), Pool: pool, Room: gib, Image: image()},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonSourceLarger, says: "VirtualDiskImage image has 1Gi, and spec.size is 512Mi",
		},
		"there is no room for what its image has": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneFull), func(d *v1alpha1.VirtualDisk) { d.Spec.Size = nil }), Pool: pool, Room: gib - 1, Image: image()},
			phase: v1alpha1.DiskPending, reason: v1alpha1.ReasonPoolFull, says: "it needs 1Gi",
		},
		"no disk stands on an image in a store of several hosts": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneBacking)), Pool: &libvirt.Pool{Type: "netfs", Store: "netfs://s/x"}, Room: gib, Image: image()},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonInvalidVolume, says: "a store that several hosts have",
		},
		"nor in a pool without files": {
			in:    Situation{Disk: disk("disk", holding, ofImage(v1alpha1.CloneBacking)), Pool: &libvirt.Pool{Type: "logical"}, Room: gib, Image: image()},
			phase: v1alpha1.DiskFailed, reason: v1alpha1.ReasonInvalidVolume, says: "set spec.source.image.clone to Full",
		},
		"it does not grow by what its content claims to be": {
			in:    Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume(), Misread: "qcow2"},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady, sized: v1alpha1.ReasonInUse,
		},
		"but under its guest it does": {
			in: Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume(), Misread: "qcow2", Users: []User{run}}, steps: []Step{StepGrow},
		},
		"it grows": {
			in: Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume()}, steps: []Step{StepGrow},
		},
		"it grows under a guest": {
			in: Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume(), Users: []User{run}}, steps: []Step{StepGrow},
		},
		"not under one whose memory is saved": {
			in:    Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume(), Users: []User{saved}},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady, sized: v1alpha1.ReasonInUse,
		},
		"not while it is copied": {
			in:    Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2 * gib, Volume: volume(), Copied: true},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady, sized: v1alpha1.ReasonInUse,
		},
		"there is no room to grow": {
			in:    Situation{Disk: disk("disk", holding, made, sized(2*gib)), Pool: pool, Room: 2*gib - 1, Volume: volume()},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady, sized: v1alpha1.ReasonPoolFull,
		},
		"it does not shrink": {
			in:    Situation{Disk: disk("disk", holding, made, sized(gib/2)), Pool: pool, Room: 2 * gib, Volume: volume()},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady, sized: v1alpha1.ReasonInvalidVolume,
		},
		"a pool of extents rounds up": {
			in:    Situation{Disk: disk("disk", holding, made, sized(gib-mib)), Pool: pool, Room: 2 * gib, Volume: volume()},
			phase: v1alpha1.DiskReady, reason: v1alpha1.ReasonVolumeReady,
		},
		"deleted": {
			in: Situation{Disk: disk("disk", deleted, made), Pool: pool, Volume: volume()}, steps: []Step{StepRemove, StepUnmark, StepLetGo},
		},
		"deleted before there was anything": {in: Situation{Disk: disk("disk", deleted), Pool: pool}, steps: []Step{StepLetGo}},
		"deleted while it was being made": {
			in: Situation{Disk: disk("disk", deleted, retain), Pool: pool, Volume: volume(), Marked: true}, steps: []Step{StepRemove, StepUnmark, StepLetGo},
		},
		"deleted and retained": {
			in: Situation{Disk: disk("disk", deleted, made, retain), Pool: pool, Volume: volume()}, steps: []Step{StepRetain, StepLetGo},
		},
		"deleted and in use": {
			in:    Situation{Disk: disk("disk", deleted, made), Pool: pool, Volume: volume(), Users: []User{run}},
			phase: v1alpha1.DiskDeleting, reason: v1alpha1.ReasonInUse, says: "VirtualMachine vm has it: the volume is kept until that is deleted, stopped with whenStopped Release, or without it in spec.disks",
		},
		"deleted with a snapshot inside": {
			in:    Situation{Disk: disk("disk", deleted, made), Pool: pool, Volume: volume(), Users: []User{{VM: "VirtualMachineSnapshot s", Snapshot: true}}},
			phase: v1alpha1.DiskDeleting, reason: v1alpha1.ReasonInUse, says: "VirtualMachineSnapshot s is inside it: the volume is kept until that is deleted",
		},
		"deleted and its pool is not there": {
			in:    Situation{Disk: disk("disk", deleted, made)},
			phase: v1alpha1.DiskDeleting, reason: v1alpha1.ReasonPoolMissing, says: "start it",
		},
		"deleted by somebody who waits for another": {in: Situation{Disk: disk("disk", deleted, func(d *v1alpha1.VirtualDisk) { d.Finalizers = []string{"other"} }), Pool: pool, Volume: volume()}},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Node, test.in.Now = node, now
			got := Plan(test.in)
			if diff := cmp.Diff(test.steps, got.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			r := got.Report
			if r == nil {
				r = &Report{}
			}
			if r.Reason != test.reason || r.Phase != test.phase || r.NotSized != test.sized || !strings.Contains(r.Message, test.says) {
				t.Errorf("reports %+v, want %s %s with %q, not sized for %q", r, test.phase, test.reason, test.says, test.sized)
			}
			if len(got.Steps) == 0 && got.Report != nil && got.Report.Reason != v1alpha1.ReasonVolumeReady && got.RequeueAfter == 0 {
				t.Error("nobody looks again")
			}
		})
	}
}

func ofImage(clone v1alpha1.ImageClone) change {
	return func(d *v1alpha1.VirtualDisk) {
		d.Spec.Source = &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: "image", Clone: clone}}
	}
}

func image() *Image {
	return &Image{Pool: "default", Name: "ns.image.vi-0123456789ab", Format: v1alpha1.DiskQCOW2, Volume: &libvirt.Volume{Format: "qcow2", Capacity: gib}}
}

// A volume is what it was made as, and as large, whatever its content claims.
func TestVolumesAreNotWhatTheyClaimToBe(t *testing.T) {
	raw := func(d *v1alpha1.VirtualDisk) { d.Spec.Format = v1alpha1.DiskRaw }
	shown := func(d *v1alpha1.VirtualDisk) { d.Status.Format, d.Status.Capacity = v1alpha1.DiskRaw, gib }
	forged := libvirt.Volume{Format: "qcow2", Capacity: 1 << 60, Allocation: 5, Length: 2 * gib, Backing: "/etc/passwd"}
	for name, test := range map[string]struct {
		disk    *v1alpha1.VirtualDisk
		pool    string
		volume  libvirt.Volume
		want    libvirt.Volume
		misread string
	}{
		"what it is":           {disk("disk"), "dir", libvirt.Volume{Format: "qcow2", Capacity: gib, Backing: "/image"}, libvirt.Volume{Format: "qcow2", Capacity: gib, Backing: "/image"}, ""},
		"raw that claims":      {disk("disk", raw), "dir", forged, libvirt.Volume{Format: "raw", Capacity: 2 * gib, Allocation: 5, Length: 2 * gib}, "qcow2"},
		"raw by its status":    {disk("disk", shown), "dir", forged, libvirt.Volume{Format: "raw", Capacity: 2 * gib, Allocation: 5, Length: 2 * gib}, "qcow2"},
		"raw of no length":     {disk("disk", shown), "dir", libvirt.Volume{Format: "qcow2", Capacity: 1 << 60}, libvirt.Volume{Format: "raw", Capacity: gib}, "qcow2"},
		"a CD":                 {disk("disk", raw), "dir", libvirt.Volume{Format: "iso", Capacity: gib}, libvirt.Volume{Format: "raw", Capacity: gib}, ""},
		"raw for want of more": {disk("disk"), "logical", libvirt.Volume{Format: "raw", Capacity: gib}, libvirt.Volume{Format: "raw", Capacity: gib}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, misread := asOwn(test.disk, test.pool, test.volume)
			if diff := cmp.Diff(test.want, got); diff != "" || misread != test.misread {
				t.Errorf("misread as %q (-want +got):\n%s", misread, diff)
			}
		})
	}
}

func TestNamesOfVolumes(t *testing.T) {
	d := disk("a.b")
	if got := d.VolumeName(); got != "ns.a.b.vd-0123456789ab" {
		t.Errorf("name %s", got)
	}
	namespace, name, ok := diskOf(d.VolumeName())
	if namespace != "ns" || name != "a.b" || !ok {
		t.Errorf("read back %s/%s, %t", namespace, name, ok)
	}
	suffix := MarkSuffix("cluster", node)
	if len(suffix) != markLength || suffix == MarkSuffix("cluster", "other") || suffix == MarkSuffix("another", node) {
		t.Errorf("suffix %s", suffix)
	}
	got := marked([]string{d.VolumeName(), d.VolumeName() + suffix, d.VolumeName() + MarkSuffix("cluster", "other"), "x" + suffix}, suffix)
	if diff := cmp.Diff([]string{d.VolumeName()}, got); diff != "" {
		t.Errorf("marked (-want +got):\n%s", diff)
	}
}

func TestSpaceIsSaidSeldom(t *testing.T) {
	const capacity = 256 * 64 * mib // steps of 64 MiB
	for name, test := range map[string]struct{ said, is, want int64 }{
		"at first":            {0, 1000 * mib, 960 * mib},
		"a little less":       {960 * mib, 970 * mib, 960 * mib},
		"less than was said":  {960 * mib, 959 * mib, 896 * mib},
		"almost two steps up": {960 * mib, 1087 * mib, 960 * mib},
		"two steps up":        {960 * mib, 1088 * mib, 1088 * mib},
		"nothing left":        {960 * mib, 0, 0},
		"more than nothing":   {0, 10 * mib, 0},
	} {
		if got := steadyRoom(test.said, test.is, capacity); got != test.want || got > test.is {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	for name, test := range map[string]struct{ said, is, want int64 }{
		"at first":     {0, 200 << 10, 0},
		"much":         {0, 40 * mib, 40 * mib},
		"hardly more":  {40 * mib, 50 * mib, 40 * mib},
		"more":         {40 * mib, 80 * mib, 80 * mib},
		"less by much": {80 * mib, 10 * mib, 10 * mib},
	} {
		if got := steadyAllocation(test.said, test.is, gib); got != test.want {
			t.Errorf("allocation %s: %d, want %d", name, got, test.want)
		}
	}
}

// What went wrong delays trying again, but nothing of a disk whose spec is another
// by now, or that is deleted: its next step may be another one altogether.
func TestAnEditForgetsWhatFailed(t *testing.T) {
	d, m := disk("disk", holding, made), Memory{}
	d.Generation = 1
	for range 3 {
		m.note(d, StepCarry, v1alpha1.ReasonMoving, "host other does not take it", now)
	}
	known := m.of(d)
	if wait, tried := known.left(now); !tried || wait != 4*time.Second {
		t.Errorf("%s, %v", wait, tried)
	}
	deleted(d)
	d.Generation = 2
	if got := Plan(Situation{Node: node, Disk: d, Pool: pool, Volume: volume(), Memory: m.of(d), Now: now}); !slices.Contains(got.Steps, StepRemove) {
		t.Errorf("it waits: %+v, %+v", got, got.Report)
	}
	if m.note(d, StepRemove, v1alpha1.ReasonVolumeFailed, "busy", now); m.Failures != 1 {
		t.Errorf("%+v", m)
	}
}
