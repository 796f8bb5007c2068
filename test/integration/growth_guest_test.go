package integration

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// A guest that stands still is not granted more, and says so until it runs again.
func TestAGuestThatStandsStillSaysThatItIsToGrow(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	hosts(t, ns, 1, mid)
	runsOn(t, newVM(ns, "vm", 2, 1, mayGrow(6)))
	set(t, ns, "vm", power(v1alpha1.PowerPaused))
	hostSays(t, ns, "vm", v1alpha1.HostPaused, "", "")
	size(t, ns, "vm", 5, 3)
	vm := waitVM(t, ns, "vm", pends(v1alpha1.ReasonGuestStandsStill, "5 vCPUs and 3Gi of memory when it runs again"))
	if said := granted(2, 1)(vm); said != "" {
		t.Error(said)
	}
	if vm.Status.Reason != v1alpha1.ReasonGuestStandsStill {
		t.Errorf("what is shown is %s: %s", vm.Status.Reason, vm.Status.Message)
	}
	writes := statusWrites(t, ns, "vm")
	stays(t, ns, "vm", granted(2, 1))
	if n := statusWrites(t, ns, "vm") - writes; n != 0 {
		t.Errorf("it was written %d times more", n)
	}
	set(t, ns, "vm", power(v1alpha1.PowerRunning))
	hostSays(t, ns, "vm", v1alpha1.HostRunning, "", "")
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string { return granted(5, 3)(vm) + pends("", "")(vm) })
}

// A guest that does not follow its balloon says so as long as its host does.
func TestAGuestThatKeepsItsMemorySaysSo(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	hosts(t, ns, 1, mid)
	runsOn(t, newVM(ns, "vm", 2, 2, mayGrow(6)))
	size(t, ns, "vm", 2, 1)
	hostReports(t, ns, func(h *v1alpha1.HostStatus) { h.CPU, h.Memory, h.MemoryTarget = 2, 2*gib, gib })
	waitVM(t, ns, "vm", pends(v1alpha1.ReasonGuestKeepsMemory, "keeps 2Gi of memory and is to have 1Gi"))
	hostReports(t, ns, func(h *v1alpha1.HostStatus) { h.Memory, h.MemoryTarget = gib, 0 })
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string { return granted(2, 1)(vm) + pends("", "")(vm) })
}
