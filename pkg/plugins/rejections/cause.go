package rejections

import (
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Causes are the words of Cause, for metrics: few, whatever VMs ask for.
const (
	CauseCPU          = "CPU"
	CauseMemory       = "Memory"
	CauseHugepages2Mi = "Hugepages2Mi"
	CauseHugepages1Gi = "Hugepages1Gi"
	CauseDevice       = "Device"
	// CauseUnreachable: the host's executor or libvirt does not answer.
	CauseUnreachable = "Unreachable"
	CauseTaint       = "Taint"
	CauseCordoned    = "Cordoned"
	// CauseAffinity: nodeSelector or node affinity, or the host refused the VM
	// lately.
	CauseAffinity = "Affinity"
	// CauseInterVM: affinity or anti-affinity to other VMs.
	CauseInterVM = "InterVMAffinity"
	CauseSpread  = "TopologySpread"
	// CauseIncompatible: CPU model, machine type, firmware and the like.
	CauseIncompatible = "Incompatible"
	CauseDisk         = "Disk"
	// CauseHeadroom: what is free there is kept for another host's failure.
	CauseHeadroom = "Headroom"
	// CauseNoExecutor: a Node without vm-executor, or one that has not reported.
	CauseNoExecutor = "NoExecutor"
	CauseOther      = "Other"
)

// Causes lists them.
func Causes() []string {
	return []string{
		CauseCPU, CauseMemory, CauseHugepages2Mi, CauseHugepages1Gi, CauseDevice, CauseUnreachable, CauseTaint, CauseCordoned,
		CauseAffinity, CauseInterVM, CauseSpread, CauseIncompatible, CauseDisk, CauseHeadroom, CauseNoExecutor, CauseOther,
	}
}

// ofPlugin is the cause of plugins that have only one.
var ofPlugin = map[string]string{
	"TaintToleration": CauseTaint, "NodeUnschedulable": CauseCordoned, "NodeAffinity": CauseAffinity,
	"InterPodAffinity": CauseInterVM, "PodTopologySpread": CauseSpread, "HostCompatibility": CauseIncompatible,
	"DiskLocality": CauseDisk, "HostHeadroom": CauseHeadroom,
}

// Cause is the reason in one of few words: without amounts and names.
func (k Kind) Cause() string {
	reason := k.Reason
	switch {
	case strings.HasPrefix(reason, "host(s) run no vm-executor"), strings.HasPrefix(reason, "host(s) have no Hypervisor"):
		return CauseNoExecutor
	case strings.Contains(reason, v1alpha1.ExecutorUnreachableTaint), strings.Contains(reason, v1alpha1.LibvirtUnavailableTaint):
		return CauseUnreachable
	case k.Plugin == "HostHeadroom":
		return CauseHeadroom
	case k.OfAmounts():
		return shortOf(strings.TrimPrefix(reason, lacks))
	}
	if cause, known := ofPlugin[k.Plugin]; known {
		return cause
	}
	return CauseOther
}

// shortOf reads what package numa says: an amount and what it is of. What is no
// memory and no CPU is a device's name.
func shortOf(what string) string {
	// What the rest of the VM needs is said after it.
	what, _, _ = strings.Cut(what, " beside ")
	switch {
	case strings.Contains(what, " of 2Mi hugepages"):
		return CauseHugepages2Mi
	case strings.Contains(what, " of 1Gi hugepages"):
		return CauseHugepages1Gi
	case strings.Contains(what, " of memory"):
		return CauseMemory
	}
	_, what, _ = strings.Cut(what, " ")
	if strings.HasPrefix(what, "vCPU") || strings.HasPrefix(what, "dedicated CPU") {
		return CauseCPU
	}
	return CauseDevice
}
