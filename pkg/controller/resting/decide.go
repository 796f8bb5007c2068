// Package resting says of a VM that has no host, and for which none is sought,
// that it is so: nobody else would, since it is in no queue and on no host.
package resting

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// due says whether the VM has no host, shall not have one, and its status still
// says that it waits.
func due(vm *v1alpha1.VirtualMachine) bool {
	if vm.Status.Placement != nil || vm.DeletionTimestamp != nil {
		return false
	}
	switch vm.Spec.PowerState {
	case "", v1alpha1.PowerRunning:
		return false
	}
	return vm.Status.Phase == "" || vm.Status.Phase == v1alpha1.PhasePending
}

// rest changes s, the VM's, into the status of one that waits for nothing.
func rest(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) {
	s.Phase = v1alpha1.PhaseStopped
	s.NominatedNodeName = ""
	s.ObservedGeneration = vm.Generation
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoHostSought,
		Message:            "no host is sought while spec.powerState is " + string(vm.Spec.PowerState) + "; set it to Running to have the VirtualMachine placed and started",
		ObservedGeneration: vm.Generation, LastTransitionTime: metav1.NewTime(now),
	})
}
