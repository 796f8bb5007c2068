package volumes

import (
	"fmt"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Steps of a move; see move_source.go.
const (
	// StepCarry brings all of the volume to where the disk is moved to, and stores
	// that it is there.
	StepCarry Step = "Carry"
	// StepLeave stores that the volume is gone from where it was.
	StepLeave Step = "Leave"
)

// move decides about a disk that is being moved away, whose volume is here or, once
// the target has all of it, was. Its rules, the first that applies:
//
//   - What has left waits for vm-scheduler to say that the disk is at home there.
//   - Once the target has all of it the volume goes, and then has left.
//   - A disk that somebody has is not read.
//   - Otherwise the target is given all of it.
func move(in Situation) Decision {
	d := in.Disk
	progress := *d.Status.Move()
	progress.Message = ""
	report := &Report{Phase: v1alpha1.DiskReady, Reason: v1alpha1.ReasonVolumeReady, Message: thereIs, Volume: in.Volume, Move: &progress}
	wait := func(after time.Duration, format string, args ...any) Decision {
		progress.Message = shortened(fmt.Sprintf(format, args...))
		return Decision{RequeueAfter: after, Report: report}
	}
	left, tried := in.Memory.left(in.Now)
	switch {
	case progress.State == v1alpha1.MoveLeft:
		return Decision{}
	case progress.State == v1alpha1.MoveCopied && in.Pool == nil:
		return wait(lookAgain, "host %s has no active storage pool %s, where the volume was: start it, so that it can be removed", in.Node, d.Pool())
	case tried:
		return wait(left, "%s", in.Memory.Message)
	case progress.State == v1alpha1.MoveCopied:
		return Decision{Steps: []Step{StepRemove, StepLeave}}
	case len(in.Users) > 0 && in.Users[0].Snapshot:
		return wait(lookAgain, "%s is inside it, and would be lost with a copy: it is moved when that is deleted", in.Users[0].VM)
	case len(in.Users) > 0:
		return wait(lookAgain, "%s has it: it is moved when that is stopped with whenStopped Release, or does not name it any more", in.Users[0].VM)
	case in.Volume.Backing != "" && d.Status.MoveTo.NodeName != in.Node:
		return wait(lookAgain, "its volume stands on another one, which stays: make a copy of the disk, and move that")
	}
	return Decision{Report: report, Steps: []Step{StepCarry}, Again: true}
}
