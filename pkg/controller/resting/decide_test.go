package resting

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestDue(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.VirtualMachine)
		want   bool
	}{
		"never placed":                {func(*v1alpha1.VirtualMachine) {}, true},
		"created just now":            {func(vm *v1alpha1.VirtualMachine) { vm.Status.Phase = "" }, true},
		"to be paused":                {func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerPaused }, true},
		"to be suspended":             {func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerSuspended }, true},
		"to run":                      {func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerRunning }, false},
		"to run by default":           {func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = "" }, false},
		"its host says what it is":    {func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"} }, false},
		"said already":                {func(vm *v1alpha1.VirtualMachine) { vm.Status.Phase = v1alpha1.PhaseStopped }, false},
		"what is wrong with it stays": {func(vm *v1alpha1.VirtualMachine) { vm.Status.Phase = v1alpha1.PhaseInvalid }, false},
		"being deleted":               {func(vm *v1alpha1.VirtualMachine) { at := metav1.NewTime(now); vm.DeletionTimestamp = &at }, false},
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{Spec: v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerStopped}, Status: v1alpha1.VirtualMachineStatus{Phase: v1alpha1.PhasePending}}
			test.change(vm)
			if got := due(vm); got != test.want {
				t.Errorf("due is %t, want %t", got, test.want)
			}
		})
	}
}

func TestRest(t *testing.T) {
	vm := &v1alpha1.VirtualMachine{Spec: v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerPaused}}
	vm.Generation = 2
	vm.Status = v1alpha1.VirtualMachineStatus{
		Phase: v1alpha1.PhasePending, NominatedNodeName: "a",
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnschedulable, Message: "no room", LastTransitionTime: metav1.NewTime(now)}},
	}
	got := vm.Status.DeepCopy()
	rest(got, vm, now.Add(time.Hour))
	want := &v1alpha1.VirtualMachineStatus{
		Phase: v1alpha1.PhaseStopped, ObservedGeneration: 2,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoHostSought, ObservedGeneration: 2, LastTransitionTime: metav1.NewTime(now),
			Message: "no host is sought while spec.powerState is Paused; set it to Running to have the VirtualMachine placed and started",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	vm.Status = *got
	if due(vm) {
		t.Error("it would be said again")
	}
}
