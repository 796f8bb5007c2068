package volumes

import (
	"fmt"
	"slices"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

const (
	// lookAgain is when something is looked at again that another's doing mends,
	// and of which nothing may be heard.
	lookAgain = time.Minute
	// A step that failed is taken again after firstBackoff, doubling up to
	// lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = 2 * time.Minute
)

// Plan decides what to do next. It is pure. Its rules, the first that applies:
//
//   - A disk whose home is not here is not ours to act on.
//   - A disk that is deleted is held while somebody has it. Then its volume goes,
//     or stays by its reclaim policy, and the object after it.
//   - One that is being moved away is given to where it goes; see move.
//   - A volume that is whole is the disk's, whatever its status says.
//   - One that is not whole is removed and made anew.
//   - A volume that the status says was there and is gone is never made anew: it
//     would be empty.
//   - A volume grows to the disk's size, and never shrinks.
func Plan(in Situation) Decision {
	d := in.Disk
	switch {
	case d == nil || d.Status.NodeName != in.Node:
		return Decision{}
	case d.Status.Leaving():
		return move(in)
	case d.DeletionTimestamp != nil:
		return end(in)
	case in.Pool == nil:
		return Decision{RequeueAfter: lookAgain, Report: &Report{
			Phase: missing(d), Reason: v1alpha1.ReasonPoolMissing,
			Message: fmt.Sprintf("host %s has no active storage pool %s: define and start it there", in.Node, d.Pool()),
		}}
	case in.Marked && d.Status.VolumeName != "":
		// It was whole once, and nothing is made twice: somebody else's mark.
		return Decision{Steps: []Step{StepUnmark}, Again: true}
	case in.Volume != nil && !in.Marked && d.Status.MoveTo != nil && d.Status.VolumeName != "":
		return move(in)
	case in.Volume != nil && !in.Marked:
		return keep(in)
	case d.Status.VolumeName != "" && in.Volume == nil:
		return Decision{RequeueAfter: lookAgain, Report: &Report{
			Phase: v1alpha1.DiskFailed, Reason: v1alpha1.ReasonVolumeLost,
			Message: fmt.Sprintf("volume %s is not in storage pool %s of host %s any more: put it back under this name, or delete the VirtualDisk", d.VolumeName(), d.Pool(), in.Node),
		}}
	}
	return produce(in)
}

// missing is the phase of a disk whose pool is not there.
func missing(d *v1alpha1.VirtualDisk) v1alpha1.DiskPhase {
	if d.Status.VolumeName == "" {
		return v1alpha1.DiskPending
	}
	return v1alpha1.DiskFailed
}

// end lets a deleted disk go.
func end(in Situation) Decision {
	d := in.Disk
	if !hasFinalizer(d) {
		return Decision{}
	}
	if len(in.Users) > 0 {
		message := fmt.Sprintf("%s has it: the volume is kept until that is deleted, stopped with whenStopped Release, or without it in spec.disks", in.Users[0].VM)
		if in.Users[0].Snapshot {
			message = fmt.Sprintf("%s is inside it: the volume is kept until that is deleted", in.Users[0].VM)
		}
		return Decision{RequeueAfter: lookAgain, Report: &Report{Phase: v1alpha1.DiskDeleting, Reason: v1alpha1.ReasonInUse, Volume: in.Volume, Message: message}}
	}
	if in.Pool == nil {
		return Decision{RequeueAfter: lookAgain, Report: &Report{
			Phase: v1alpha1.DiskDeleting, Reason: v1alpha1.ReasonPoolMissing,
			Message: fmt.Sprintf("host %s has no active storage pool %s, where the volume may be: start it, or have somebody remove finalizer %s", in.Node, d.Pool(), v1alpha1.VolumeFinalizer),
		}}
	}
	if wait, tried := in.Memory.left(in.Now); tried {
		return Decision{RequeueAfter: wait, Report: &Report{Phase: v1alpha1.DiskDeleting, Reason: in.Memory.Reason, Message: in.Memory.Message, Volume: in.Volume}}
	}
	whole := in.Volume != nil && (!in.Marked || d.Status.VolumeName != "")
	if whole && d.Spec.ReclaimPolicy == v1alpha1.DiskRetain {
		return Decision{Steps: []Step{StepRetain, StepLetGo}}
	}
	if in.Volume == nil && !in.Marked {
		return Decision{Steps: []Step{StepLetGo}}
	}
	return Decision{Steps: []Step{StepRemove, StepUnmark, StepLetGo}}
}

// thereIs is what there is to say of a volume that is whole.
const thereIs = "the volume is there"

// keep reports a whole volume, and grows it where the disk has.
func keep(in Situation) Decision {
	d, v := in.Disk, in.Volume
	ready := Report{Phase: v1alpha1.DiskReady, Reason: v1alpha1.ReasonVolumeReady, Message: thereIs, Volume: v}
	if !hasFinalizer(d) {
		return Decision{Steps: []Step{StepHold}, Again: true}
	}
	if d.Spec.Size == nil || d.Spec.Size.Value() == v.Capacity {
		return Decision{Report: &ready}
	}
	size := d.Spec.Size.Value()
	not := func(reason, format string, args ...any) Decision {
		ready.NotSized, ready.Why = reason, fmt.Sprintf(format, args...)
		return Decision{Report: &ready, RequeueAfter: lookAgain}
	}
	switch {
	case size < v.Capacity && v.Capacity-size < volumeUnit:
		return Decision{Report: &ready} // pools of extents round up
	case size < v.Capacity:
		return not(v1alpha1.ReasonInvalidVolume, "the volume has %s and spec.size is %s: a disk does not shrink", capacity.Bytes(v.Capacity), capacity.Bytes(size))
	case !growable[in.Pool.Type]:
		return not(v1alpha1.ReasonInvalidVolume, "libvirt cannot make volumes larger in a pool of type %s: make a VirtualDisk of %s with this one as its source, or leave it", in.Pool.Type, capacity.Bytes(size))
	case size > in.Room:
		return not(v1alpha1.ReasonPoolFull, "it cannot grow from %s to %s: storage pool %s of host %s has %s for it; free some, or leave it",
			capacity.Bytes(v.Capacity), capacity.Bytes(size), d.Pool(), in.Node, capacity.Bytes(max(in.Room, 0)))
	}
	if in.Misread != "" && !slices.ContainsFunc(in.Users, func(u User) bool { return u.Running }) {
		return not(v1alpha1.ReasonInUse, "it grows when its guest runs: what the guest has written begins as a file of format %s, and libvirt would change it as one", in.Misread)
	}
	if in.Copied {
		return not(v1alpha1.ReasonInUse, "it grows when nobody copies or exports it any more")
	}
	for _, u := range in.Users {
		if u.Saved {
			return not(v1alpha1.ReasonInUse, "it grows when the guest of %s runs again: its saved memory counts on the present size", u.VM)
		}
	}
	if wait, tried := in.Memory.left(in.Now); tried {
		decision := not(in.Memory.Reason, "%s", in.Memory.Message)
		decision.RequeueAfter = wait
		return decision
	}
	return Decision{Steps: []Step{StepGrow}, Again: true}
}

// growable are the types of pools in which libvirt makes volumes larger. Source:
// resizeVol in libvirt 9.0.0's src/storage/storage_backend_*.c.
var growable = map[string]bool{"dir": true, "fs": true, "netfs": true, "vstorage": true, "rbd": true}

// volumeUnit is the largest extent by which pools are expected to round up.
const volumeUnit = 64 << 20

// produce makes the volume.
func produce(in Situation) Decision {
	d := in.Disk
	pending := func(phase v1alpha1.DiskPhase, reason, format string, args ...any) Decision {
		return Decision{RequeueAfter: lookAgain, Report: &Report{Phase: phase, Reason: reason, Message: fmt.Sprintf(format, args...)}}
	}
	if !hasFinalizer(d) {
		return Decision{Steps: []Step{StepHold}, Again: true}
	}
	wait, tried := in.Memory.left(in.Now)
	if in.Marked && (!tried || in.Memory.Step != StepRemove) {
		// What is left of an attempt does not lie about while another is not due.
		return Decision{Steps: []Step{StepRemove, StepUnmark}, Again: true}
	}
	if tried {
		decision := pending(v1alpha1.DiskPending, in.Memory.Reason, "%s", in.Memory.Message)
		decision.RequeueAfter = wait
		return decision
	}
	if why := unfit(d, in.Pool.Type); why != "" {
		return pending(v1alpha1.DiskFailed, v1alpha1.ReasonInvalidVolume, "%s", why)
	}
	size := d.Claim()
	report := (*Report)(nil)
	if from := d.CopyOf(); from != "" {
		s := in.Source
		switch {
		case s == nil || s.Volume == nil:
			return pending(v1alpha1.DiskPending, v1alpha1.ReasonSourceMissing, "VirtualDisk %s, which it is to be a copy of, is not there, or has no volume: create it, with a VM that uses it", from)
		case s.Disk.Status.NodeName != in.Node && s.Disk.Status.Store == "":
			return pending(v1alpha1.DiskFailed, v1alpha1.ReasonSourceElsewhere, "VirtualDisk %s, which it is to be a copy of, is on host %s: a copy is made on the host of its source", from, s.Disk.Status.NodeName)
		case d.Spec.Size != nil && size < s.Volume.Capacity:
			return pending(v1alpha1.DiskFailed, v1alpha1.ReasonSourceLarger, "VirtualDisk %s has %s, and spec.size is %s: make it at least as large, or leave it out", from, capacity.Bytes(s.Volume.Capacity), capacity.Bytes(size))
		case s.Misread != "" && formatIn(d, in.Pool.Type) != v1alpha1.DiskRaw:
			return pending(v1alpha1.DiskPending, v1alpha1.ReasonInvalidVolume, "the content of raw VirtualDisk %s begins as a file of format %s, and would be converted as one: create it anew with spec.format raw, or have its guest overwrite its first sector", from, s.Misread)
		case s.Writer != nil:
			return pending(v1alpha1.DiskPending, v1alpha1.ReasonSourceInUse, "%s may be writing VirtualDisk %s: the copy is made when its guest is stopped", s.Writer.VM, from)
		}
		size = max(size, s.Volume.Capacity)
		// It may take long.
		report = &Report{Phase: v1alpha1.DiskCreating, Reason: v1alpha1.ReasonCreating, Message: "it is being copied from VirtualDisk " + from}
	}
	if from := d.ImageOf(); from != "" {
		if phase, reason, message := waitsForImage(in); reason != "" {
			return pending(phase, reason, "%s", message)
		}
		size = max(size, in.Image.Volume.Capacity)
		report = &Report{Phase: v1alpha1.DiskCreating, Reason: v1alpha1.ReasonCreating, Message: "it is being made of VirtualDiskImage " + from}
	}
	if report == nil && stale[in.Pool.Type] {
		report = &Report{Phase: v1alpha1.DiskCreating, Reason: v1alpha1.ReasonCreating, Message: "it is being filled with zeros, over what others have left in its pool"}
	}
	if size > in.Room {
		return pending(v1alpha1.DiskPending, v1alpha1.ReasonPoolFull, "storage pool %s of host %s has %s for it, and it needs %s: free some there, or delete it and create it for another host",
			d.Pool(), in.Node, capacity.Bytes(max(in.Room, 0)), capacity.Bytes(size))
	}
	return Decision{Report: report, Steps: []Step{StepMark, StepMake, StepUnmark}, Again: true}
}

// filePools are the types of pools whose volumes are files, of any format.
var filePools = map[string]bool{"dir": true, "fs": true, "netfs": true, "vstorage": true}

// formatIn is the format of the disk in a pool of the type.
func formatIn(d *v1alpha1.VirtualDisk, pool string) v1alpha1.DiskFormat {
	switch {
	case d.Spec.Format != "":
		return d.Spec.Format
	case filePools[pool]:
		return v1alpha1.DiskQCOW2
	}
	return v1alpha1.DiskRaw
}

// maxNames are the longest names of volumes, with the mark's; sources:
// NAME_MAX of Linux, lvm(8).
const (
	maxName   = 255
	maxLVName = 127
)

// unfit says why the disk can have no volume made in a pool of the type.
func unfit(d *v1alpha1.VirtualDisk, pool string) string {
	return unfitPool(d, pool)
}

// unfitPool says why no volume of the disk can be in a pool of the type.
func unfitPool(d *v1alpha1.VirtualDisk, pool string) string {
	longest := maxName
	if pool == "logical" {
		longest = maxLVName
	}
	switch length := len(d.VolumeName()) + markLength; {
	case pool == "iscsi" || pool == "iscsi-direct" || pool == "scsi" || pool == "mpath":
		return fmt.Sprintf("volumes of a pool of type %s are made by its server's administrator: name another pool in spec.poolName", pool)
	case d.Spec.Format == v1alpha1.DiskQCOW2 && !filePools[pool]:
		return fmt.Sprintf("a pool of type %s has no qcow2 volumes: leave spec.format out", pool)
	case length > longest:
		return fmt.Sprintf("namespace and name together are %d characters too long for the names of volumes in a pool of type %s", length-longest, pool)
	}
	return ""
}

// note remembers a failure and when to try again.
func (m *Memory) note(d *v1alpha1.VirtualDisk, step Step, reason, message string, now time.Time) {
	*m = m.of(d)
	wait := firstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt, m.Step, m.Reason, m.Message = now.Add(min(wait, lastBackoff)), step, reason, message
}

// of is what is remembered of the disk as its spec is now: what went wrong with
// another, such as a move that is not wanted any more, delays nothing of this one.
func (m *Memory) of(d *v1alpha1.VirtualDisk) Memory {
	if m.Generation != d.Generation {
		return Memory{Generation: d.Generation}
	}
	return *m
}

// left says how long to wait before the next try; false when it is due.
func (m *Memory) left(now time.Time) (time.Duration, bool) {
	wait := m.RetryAt.Sub(now)
	return wait, wait > 0
}
