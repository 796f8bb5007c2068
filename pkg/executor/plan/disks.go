package plan

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// disksGrace is how long disks may take to be ready before that is said: most are
// made in less, and saying it is a write.
const disksGrace = 3 * time.Second

// NeedsDisks says whether it counts what disks the VM can have: those of a guest that
// runs are compared by themselves, but not with what a snapshot's memory counts on.
func NeedsDisks(in Situation) bool {
	return in.Domain == nil || !in.Domain.State.Active() || in.Restore != nil && in.Restore.Memory
}

// awaitDisks decides about a guest that is to be started, and whose disks cannot be
// had yet; false when they can.
func awaitDisks(in Situation) (Decision, bool) {
	switch {
	case len(in.Disks.Elsewhere) > 0:
		return giveUpPlace(in, "spec.disks"), true
	case in.Disks.Waits == "":
		return Decision{}, false
	}
	if left := in.Memory.DisksSince.Add(disksGrace).Sub(in.Now); left > 0 {
		return Decision{RequeueAfter: left}, true
	}
	return Decision{
		Report:       &Report{State: v1alpha1.HostStopped, Reason: v1alpha1.ReasonWaitingForDisks, Message: in.Disks.Waits},
		RequeueAfter: AskAgain,
	}, true
}
