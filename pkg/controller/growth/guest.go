package growth

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// guests says whether the reason of the condition ResizePending is about what the
// guest does, and not about what its host has.
func guests(reason string) bool {
	return reason == v1alpha1.ReasonGuestStandsStill || reason == v1alpha1.ReasonGuestKeepsMemory
}

// ofTheGuest is the condition of a guest that is itself in the way of its other
// size; nil when it is not. Its time is not set.
func ofTheGuest(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine) *metav1.Condition {
	h := host(s)
	if h == nil || vm.DeletionTimestamp != nil || s.Eviction != nil || !growable(s.Placement) {
		return nil
	}
	out := &metav1.Condition{Type: v1alpha1.ConditionResizePending, Status: metav1.ConditionTrue, ObservedGeneration: vm.Generation}
	switch size, other := size(s.Placement, vm); {
	case standsStill(h) && other:
		out.Reason, out.Message = v1alpha1.ReasonGuestStandsStill, waitsToRun(h, vm, s.Placement.Granted.Size(), size)
	case h.State == v1alpha1.HostRunning && h.MemoryTarget != 0 && h.Memory > h.MemoryTarget:
		out.Reason = v1alpha1.ReasonGuestKeepsMemory
		out.Message = fmt.Sprintf("the guest keeps %s of memory and is to have %s: it gives memory back by its driver virtio_balloon, as far as it is free: load that in the guest, or free memory there, or set spec.resources.memory to more; "+
			"a guest without that driver has all of spec.resources.maxMemory: leave that out, and restart it", capacity.Bytes(h.Memory), capacity.Bytes(h.MemoryTarget))
	case h.State == v1alpha1.HostRunning && h.MemoryTarget != 0 && h.Memory < h.MemoryTarget:
		out.Reason = v1alpha1.ReasonGuestKeepsMemory
		out.Message = fmt.Sprintf("the guest keeps %s of memory and may have %s: its driver virtio_balloon does not take it: see whether the guest hangs; `virtctl restart -n %s %s` starts it with what it may have",
			capacity.Bytes(h.Memory), capacity.Bytes(h.MemoryTarget), vm.Namespace, vm.Name)
	default:
		return nil
	}
	return out
}

func growable(p *v1alpha1.Placement) bool {
	return p != nil && (p.Granted.MaxCPU > 0 || p.Granted.MaxMemory > 0)
}

func standsStill(h *v1alpha1.HostStatus) bool {
	return h.State == v1alpha1.HostPaused || h.State == v1alpha1.HostSuspended
}

// size is what a guest on the placement is to have of what its VM asks for, as far
// as it can without being started anew, and whether that is not what is granted.
func size(p *v1alpha1.Placement, vm *v1alpha1.VirtualMachine) (v1alpha1.GuestSize, bool) {
	was, desired := p.Granted.Size(), podless.Desired(vm)
	out := capacity.Grown(p, desired).Size()
	if shrunk := capacity.Shrunk(p, desired); shrunk.Memory < was.Memory {
		out.Memory = shrunk.Memory
	}
	return out, out != was
}

// waitsToRun says of a guest that stands still what it is to have, and when.
func waitsToRun(h *v1alpha1.HostStatus, vm *v1alpha1.VirtualMachine, was, to v1alpha1.GuestSize) string {
	var amounts []string
	switch to.CPU {
	case was.CPU:
	case 1:
		amounts = append(amounts, "1 vCPU")
	default:
		amounts = append(amounts, fmt.Sprintf("%d vCPUs", to.CPU))
	}
	if to.Memory != was.Memory {
		amounts = append(amounts, capacity.Bytes(to.Memory)+" of memory")
	}
	remedy := "see status.host.message for what it stands still for"
	if p := vm.Spec.PowerState; p != v1alpha1.PowerRunning && p != "" {
		remedy = fmt.Sprintf("set spec.powerState to Running (`virtctl resume -n %s %s`)", vm.Namespace, vm.Name)
	}
	return fmt.Sprintf("the guest is %s, and is to have %s when it runs again: %s", strings.ToLower(string(h.State)), strings.Join(amounts, " and "), remedy)
}
