package vmstatus

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// The ranks of what conditions say, the most urgent first. A column of kubectl's
// table can show one value of one field, and conditions have two polarities and no
// order: what is shown is therefore chosen here.
const (
	// hostAway: whatever else is said of the guest may be old.
	hostAway = iota
	// noHost: the VM has no host, and why.
	noHost
	// guestTells: the guest is not as it should be, or on its way there.
	guestTells
	// otherFalse is a condition of a type without a rank of its own.
	otherFalse
	// growth: the guest runs and waits to be given more.
	growth
	// cards: the guest runs and waits for cards, or for itself to give some up.
	cards
	// disks: the guest runs and waits for disks, or for itself to give some up.
	disks
	// restart: the guest runs with another spec.
	restart
	// guestPlain: the guest is in a state that the phase names already.
	guestPlain
	// agentGone: an agent was heard and is silent by now.
	agentGone
	// nothing is out of the ordinary.
	nothing
)

// summarize sets reason and message to what matters most of the conditions. It
// looks at nothing that only one of a VM's writers knows, so that all of them come
// to the same.
func summarize(s *v1alpha1.VirtualMachineStatus) {
	s.Reason, s.Message = "", ""
	urgent := nothing
	for i := range s.Conditions {
		c := &s.Conditions[i]
		rank := rankOf(c, s)
		if rank >= urgent {
			continue
		}
		urgent, s.Reason, s.Message = rank, c.Reason, c.Message
		if rank == restart {
			s.Reason = c.Type // which says more than that the spec has changed
		}
	}
	if urgent == noHost && s.Reason == v1alpha1.ReasonUnschedulable {
		s.Message += refusedBy(s.ExcludedHosts)
	}
}

// refusedBy says which host refused the VM last, and why: that it did is a part of
// what the scheduler says of it. The scheduler writes both.
func refusedBy(excluded []v1alpha1.HostExclusion) string {
	if len(excluded) == 0 {
		return ""
	}
	last := slices.MaxFunc(excluded, func(a, b v1alpha1.HostExclusion) int { return a.Until.Compare(b.Until.Time) })
	others := ""
	if n := len(excluded) - 1; n > 0 {
		others = fmt.Sprintf(", the last of %d,", n+1)
	}
	return fmt.Sprintf("; %s%s refused it: %s", last.NodeName, others, last.Message)
}

// abnormal are the types that say something when they are True.
var abnormal = map[string]bool{
	v1alpha1.ConditionRestartRequired: true, v1alpha1.ConditionResizePending: true,
	v1alpha1.ConditionDiskClaimsPending: true, v1alpha1.ConditionDisksPending: true,
	v1alpha1.ConditionInterfacesPending: true,
}

func rankOf(c *metav1.Condition, s *v1alpha1.VirtualMachineStatus) int {
	no := c.Status == metav1.ConditionFalse
	switch {
	case c.Type == v1alpha1.ConditionReady:
		return rankOfReady(c, s)
	case c.Type == v1alpha1.ConditionRestartRequired && c.Status == metav1.ConditionTrue:
		return restart
	case c.Type == v1alpha1.ConditionResizePending && c.Status == metav1.ConditionTrue:
		return growth
	case (c.Type == v1alpha1.ConditionDiskClaimsPending || c.Type == v1alpha1.ConditionDisksPending) && c.Status == metav1.ConditionTrue:
		return disks
	case c.Type == v1alpha1.ConditionInterfacesPending && c.Status == metav1.ConditionTrue:
		return cards
	case abnormal[c.Type] || !no:
		return nothing
	case c.Type == v1alpha1.ConditionHostReachable:
		return hostAway
	case c.Type == v1alpha1.ConditionScheduled:
		return noHost
	case c.Type == v1alpha1.ConditionAgentConnected:
		return agentGone
	}
	return otherFalse
}

// rankOfReady is of what the host says of the guest: nothing while it has said it
// of an earlier binding only. A guest that runs and could not be paused is Ready
// with a reason of its own.
func rankOfReady(c *metav1.Condition, s *v1alpha1.VirtualMachineStatus) int {
	switch {
	case s.Host == nil || s.Host.Epoch != s.Epoch:
		return nothing
	case c.Reason != string(s.Host.State):
		return guestTells
	case c.Status == metav1.ConditionFalse:
		return guestPlain
	}
	return nothing
}
