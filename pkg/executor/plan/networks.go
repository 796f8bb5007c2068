package plan

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// NetworksGrace is how long networks may take to be there before that is said: most
// are made in less, and saying it is a write.
const NetworksGrace = 4 * time.Second

// awaitNetworks decides about a guest that is to be started, and whose networks
// cannot be had yet; false when they can, or when the host gives it back for them.
func awaitNetworks(in Situation) (Decision, bool) {
	if len(in.Networks.Waiting) == 0 {
		return Decision{}, false
	}
	if in.Networks.Unfit != "" && (in.Domain == nil || !in.Domain.Saved) {
		return Decision{}, false
	}
	if left := in.Memory.NetworksSince.Add(NetworksGrace).Sub(in.Now); left > 0 {
		return Decision{RequeueAfter: min(left, time.Second)}, true
	}
	report := &Report{State: v1alpha1.HostStopped, Reason: v1alpha1.ReasonWaitingForNetworks, Message: in.Networks.Waits(in.VM)}
	if in.Domain != nil && in.Domain.Saved {
		report.State = v1alpha1.HostSuspended
	}
	return Decision{Report: report, RequeueAfter: AskAgain}, true
}
