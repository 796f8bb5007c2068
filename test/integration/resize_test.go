package integration

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// resize edits the vCPUs of the VM vm, as a user does.
func resize(t *testing.T, ns string, cpu int32) {
	t.Helper()
	vm := readVM(t, ns, "vm")
	vm.Spec.Resources.CPU = cpu
	if err := suite.client.Update(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
}

func inEpoch(epoch int64) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		if said := bound(vm); said != "" {
			return said
		}
		if vm.Status.Epoch != epoch {
			return fmt.Sprintf("bound in epoch %d, want %d", vm.Status.Epoch, epoch)
		}
		return ""
	}
}

// A VM that was resized while it was bound counts for what it was granted, until
// its host gives it back; then it is placed anew, on that host if it fits there.
func TestAResizedVMIsPlacedAnew(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 3, mid)
	create(t, newVM(ns, "vm", 2, 1))
	before := waitVM(t, ns, "vm", bound)
	on := before.Status.Placement.NodeName

	resize(t, ns, 7)
	stays(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Epoch != before.Status.Epoch || vm.Status.Placement.Granted != before.Status.Placement.Granted {
			return fmt.Sprintf("was placed anew while it runs: %+v", vm.Status)
		}
		return ""
	})
	// What it asks for takes nothing from others: six of the host's eight are free.
	create(t, newVM(ns, "beside", 6, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.NodeSelector["kubernetes.io/hostname"] = on
	}))
	waitVM(t, ns, "beside", boundTo(on))
	remove(readVM(t, ns, "beside"))
	waitGone(t, ns, "beside")

	hostSays(t, ns, "vm", v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement, "why")
	after := waitVM(t, ns, "vm", inEpoch(before.Status.Epoch+1))
	if after.Status.Placement.NodeName != on || after.Status.Placement.Granted != capacity.Desired(&after.Spec) || after.Status.NominatedNodeName != "" {
		t.Errorf("was on %s, now %+v", on, after.Status)
	}

	// The host is full by now: it goes elsewhere.
	create(t, newVM(ns, "neighbour", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector["kubernetes.io/hostname"] = on }))
	waitVM(t, ns, "neighbour", boundTo(on))
	resize(t, ns, 8)
	hostSays(t, ns, "vm", v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement, "why")
	moved := waitVM(t, ns, "vm", inEpoch(after.Status.Epoch+1))
	if moved.Status.Placement.NodeName == on || moved.Status.Placement.Granted.CPU != 8 {
		t.Errorf("was on %s, now %+v", on, moved.Status)
	}

	// And nowhere: it waits, holds no host, and says why.
	resize(t, ns, 100)
	hostSays(t, ns, "vm", v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement, "why")
	waitVM(t, ns, "vm", waiting("Unschedulable", "need 100 vCPUs"))
	vm := waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.NominatedNodeName != "" {
			return "room is held for it on " + vm.Status.NominatedNodeName
		}
		return unbound(vm)
	})
	if strings.Contains(fmt.Sprint(vm.Status.Conditions), "Preempted") {
		t.Errorf("%+v", vm.Status.Conditions)
	}
	// Until it asks for less.
	resize(t, ns, 2)
	waitVM(t, ns, "vm", bound)
}

// A VM that may evict nobody does not keep room on its host that is too small.
func TestAResizedVMThatEvictsNobodyKeepsNoRoom(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	on := hosts(t, ns, 1, mid)[0]
	create(t, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: ns + "-never"}, Value: 1000, PreemptionPolicy: ptr.To(corev1.PreemptNever)})
	create(t, newVM(ns, "vm", 2, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = ns + "-never" }))
	waitVM(t, ns, "vm", boundTo(on))
	create(t, newVM(ns, "neighbour", 4, 1))
	waitVM(t, ns, "neighbour", boundTo(on))
	resize(t, ns, 6)
	hostSays(t, ns, "vm", v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement, "why")
	waitVM(t, ns, "vm", waiting("Unschedulable", "need 6 vCPUs, largest free is 4"))
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.NominatedNodeName != "" {
			return "room is held for it on " + vm.Status.NominatedNodeName
		}
		return ""
	})
	// What is free is anybody's.
	create(t, newVM(ns, "other", 4, 1))
	waitVM(t, ns, "other", boundTo(on))
}

// A VM of a class takes over the class as it is now while it is bound, and is
// placed by that when it starts next.
func TestABoundVMTakesOverItsClassAnew(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 1, mid)
	class := ns + "-small"
	createClass(t, class, `{resources: {cpu: 2, memory: 1Gi}}`)
	create(t, vmDocument(t, ns, "vm", "{class: {name: "+class+"}, nodeSelector: {test: "+ns+"}}"))
	before := waitVM(t, ns, "vm", bound)
	changeClass(t, class, `{resources: {cpu: 5, memory: 2Gi}}`)
	vm := readVM(t, ns, "vm")
	vm.Spec.Class.Revision = 0
	if err := suite.client.Update(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	given(t, readVM(t, ns, "vm"), class, 2, 5, "2Gi", "{}")
	hostSays(t, ns, "vm", v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement, "why")
	after := waitVM(t, ns, "vm", inEpoch(before.Status.Epoch+1))
	if after.Status.Placement.Granted != capacity.Desired(&after.Spec) || after.Status.Placement.Granted.CPU != 5 {
		t.Errorf("%+v", after.Status.Placement)
	}
}
