package vmpreemption

import (
	"strings"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/plugins/rejections"
)

// TooLarge is said of a VM that no host could hold even when empty, whatever is
// evicted: of those that it may use at all.
const TooLarge = rejections.NoHost + "could hold it even when empty"

// retell puts what kube-scheduler says of a preemption into words that fit a VM.
// Its counts of hosts are left out: why each one cannot take the VM is said
// already, and evicting helps on none.
func retell(status *fwk.Status) *fwk.Status {
	if !status.IsRejected() {
		return status
	}
	said := strings.TrimPrefix(status.Message(), "preemption: ")
	switch {
	case strings.HasPrefix(said, "0/"):
		return fwk.NewStatus(status.Code(), "evicting VMs of lower priority would not make room")
	case strings.HasPrefix(said, "not eligible due to preemptionPolicy=Never"):
		return fwk.NewStatus(status.Code(), "its PriorityClass lets it evict no other VM")
	case strings.HasPrefix(said, "not eligible due to a terminating pod on the nominated node"):
		// For which host room is being made is said by the nomination itself.
		return fwk.NewStatus(status.Code())
	}
	return status
}
