// Package diskmove has disks moved to where their spec asks for: it promises them
// space there, tells the host that they leave, and gives them their new home when
// the host says that they have left.
package diskmove

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// view is all that is decided by.
type view struct {
	disk *v1alpha1.VirtualDisk
	// user is a VM that has a host and names the disk; empty when there is none.
	user string
	// snapshot is one that is inside the disk; empty when there is none.
	snapshot string
	// target is the Hypervisor of the wanted host; nil when there is none.
	target *v1alpha1.Hypervisor
	// room is how many bytes of the wanted pool nobody else was promised.
	room int64
}

// deed is what to do besides saying how it stands.
type deed int

const (
	_ deed = iota // nothing
	// begin promises the space and tells the disk's host.
	begin
	// giveUp ends a move of which nothing but its beginning is done.
	giveUp
	// arrive gives the disk its new home.
	arrive
)

// outcome is what comes of a disk.
type outcome struct {
	deed deed
	to   v1alpha1.DiskTarget
	// reason and message are of condition InPlace, which is True for
	// ReasonInPlace; an empty reason leaves the condition as it is.
	reason, message string
}

// decide says what comes next. It is pure. Its rules, the first that applies:
//
//   - A disk that has left is at home where it went.
//   - One of which the target has all of it goes there, whatever is wanted by now.
//   - A move that nobody wants any more, or to another place, is given up.
//   - A disk that some VM has, that snapshots are inside of, or that has no volume,
//     stays until that is otherwise.
//   - A move begins when the target has the pool, and room in it.
func decide(v view) outcome {
	d := v.disk
	node, pool := d.Wanted()
	move := d.Status.Move()
	wanted := d.Status.NodeName != "" && d.DeletionTimestamp == nil && wants(v, node, pool)
	switch {
	case move != nil && move.State == v1alpha1.MoveLeft:
		return outcome{deed: arrive, to: *d.Status.MoveTo, reason: v1alpha1.ReasonInPlace, message: "it was moved here"}
	case move != nil && move.State == v1alpha1.MoveCopied:
		return outcome{}
	case move != nil && (!wanted || d.Status.MoveTo.NodeName != node || d.Status.MoveTo.PoolName != pool):
		return outcome{deed: giveUp, reason: v1alpha1.ReasonInPlace, message: "its move was given up before anything was changed"}
	case move != nil && move.Message != "":
		return outcome{reason: v1alpha1.ReasonMoving, message: fmt.Sprintf("it is to be moved to storage pool %s of host %s: %s", pool, node, move.Message)}
	case move != nil:
		return outcome{reason: v1alpha1.ReasonMoving, message: fmt.Sprintf("it is being moved to storage pool %s of host %s; no VM can use it until it is there", pool, node)}
	case d.DeletionTimestamp != nil:
		return outcome{}
	case !wanted && meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionDiskInPlace) == nil:
		return outcome{} // it never was to move
	case !wanted:
		return outcome{reason: v1alpha1.ReasonInPlace, message: "it is where spec asks for"}
	case d.Status.VolumeName == "":
		return outcome{reason: v1alpha1.ReasonNotReady, message: fmt.Sprintf("it is moved from host %s when it has a volume there; or delete it, and create it anew", d.Status.NodeName)}
	case v.user != "":
		return outcome{reason: v1alpha1.ReasonInUse, message: fmt.Sprintf("VirtualMachine %s has it: it is moved when that is stopped with whenStopped Release, or does not name it any more", v.user)}
	case v.snapshot != "":
		return outcome{reason: v1alpha1.ReasonInUse, message: fmt.Sprintf("VirtualMachineSnapshot %s is inside it, and would be lost with a copy: it is moved when that is deleted", v.snapshot)}
	case v.target == nil:
		return outcome{reason: v1alpha1.ReasonHostMissing, message: fmt.Sprintf("there is no host %s: name another one in spec.nodeName, or leave it", node)}
	}
	p := poolOf(v.target, pool)
	switch {
	case p == nil:
		return outcome{reason: v1alpha1.ReasonPoolMissing, message: fmt.Sprintf("host %s has no active storage pool %s: define and start it there, or name another one in spec.poolName", node, pool)}
	case v.room < d.Claim():
		return outcome{reason: v1alpha1.ReasonPoolFull, message: fmt.Sprintf("storage pool %s of host %s has %s for it, and it has %s: free some there, or name another place",
			pool, node, capacity.Bytes(max(v.room, 0)), capacity.Bytes(d.Claim()))}
	}
	return outcome{
		// The version of the object is this write's alone.
		deed: begin, to: v1alpha1.DiskTarget{ID: d.ResourceVersion, NodeName: node, PoolName: pool, Store: p.Store},
		reason: v1alpha1.ReasonMoving, message: fmt.Sprintf("it is being moved to storage pool %s of host %s; no VM can use it until it is there", pool, node),
	}
}

// wants says whether the disk is not where it is wanted. In a store that several
// hosts have it follows its VM, and is where any of them is.
func wants(v view, node, pool string) bool {
	s := &v.disk.Status
	if node == s.NodeName && pool == v.disk.Pool() {
		return false
	}
	if s.Store == "" || v.target == nil {
		return true
	}
	p := poolOf(v.target, pool)
	return p == nil || p.Store != s.Store
}

func poolOf(hv *v1alpha1.Hypervisor, name string) *v1alpha1.HostPool {
	for i := range hv.Status.Pools {
		if p := &hv.Status.Pools[i]; p.Name == name {
			return p
		}
	}
	return nil
}

// apply writes the outcome into the disk's status. It is pure; applying it twice
// changes nothing.
func (o outcome) apply(s *v1alpha1.VirtualDiskStatus, generation int64, now metav1.Time) {
	switch o.deed {
	case begin:
		to := o.to
		s.MoveTo, s.MoveProgress = &to, nil
	case giveUp:
		s.MoveTo, s.MoveProgress = nil, nil
	case arrive:
		s.NodeName, s.PoolName, s.Store = o.to.NodeName, o.to.PoolName, o.to.Store
		if p := s.MoveProgress; p != nil && p.Format != "" {
			s.Format = p.Format
		}
		s.MoveTo, s.MoveProgress = nil, nil
	}
	if o.reason == "" {
		return
	}
	c := metav1.Condition{
		Type: v1alpha1.ConditionDiskInPlace, Status: metav1.ConditionFalse, Reason: o.reason, Message: o.message,
		ObservedGeneration: generation, LastTransitionTime: now,
	}
	if o.reason == v1alpha1.ReasonInPlace {
		c.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&s.Conditions, c)
}
