// Package snapshot gives VirtualMachineSnapshots to the hosts that have their VMs'
// disks, and refuses those of VMs of which there can be none. Making them is the
// executors'.
package snapshot

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// lookAgain is when a snapshot is looked at again that waits for disks, of which
// nothing is heard here.
const lookAgain = 10 * time.Second

// situation is all that decide decides by.
type situation struct {
	snapshot *v1alpha1.VirtualMachineSnapshot
	// vm is nil when there is none of the name, and home is the host of its first
	// disk that has one; empty for none.
	vm   *v1alpha1.VirtualMachine
	home string
	now  time.Time
}

// decision is what to do now.
type decision struct {
	// status is to be written; nil leaves it as it is.
	status *v1alpha1.VirtualMachineSnapshotStatus
	// after, when positive, asks for another look then.
	after time.Duration
}

// decide is pure.
func decide(in situation) decision {
	s, vm := in.snapshot, in.vm
	if s.DeletionTimestamp != nil || s.Status.NodeName != "" || s.Status.Phase == v1alpha1.SnapshotFailed {
		return decision{}
	}
	switch {
	case vm == nil:
		return fail(in, v1alpha1.ReasonVMNotFound, fmt.Sprintf("there is no VirtualMachine %s in namespace %s", s.Spec.VirtualMachineName, s.Namespace))
	case vm.DeletionTimestamp != nil:
		return fail(in, v1alpha1.ReasonVMDeleting, fmt.Sprintf("VirtualMachine %s is being deleted", vm.Name))
	case len(vm.Spec.Disks) == 0:
		return fail(in, v1alpha1.ReasonNoDisks, fmt.Sprintf("VirtualMachine %s has no VirtualDisks: give it one in spec.disks", vm.Name))
	}
	node := in.home
	if p := vm.Status.Placement; p != nil {
		node = p.NodeName
	}
	next := s.Status.DeepCopy()
	next.VirtualMachineUID = vm.UID
	if node == "" {
		report(next, s, v1alpha1.SnapshotPending, v1alpha1.ReasonSnapshotWaits,
			fmt.Sprintf("VirtualMachine %s has no host yet, and its disks are not made: start it", vm.Name), in.now)
		return decision{status: next, after: lookAgain}
	}
	next.NodeName = node
	report(next, s, v1alpha1.SnapshotPending, v1alpha1.ReasonSnapshotWaits, "host "+node+" is to make it", in.now)
	return decision{status: next}
}

func fail(in situation, reason, why string) decision {
	next := in.snapshot.Status.DeepCopy()
	report(next, in.snapshot, v1alpha1.SnapshotFailed, reason, why, in.now)
	return decision{status: next}
}

func report(status *v1alpha1.VirtualMachineSnapshotStatus, s *v1alpha1.VirtualMachineSnapshot, phase v1alpha1.SnapshotPhase, reason, message string, now time.Time) {
	status.Phase, status.ObservedGeneration = phase, s.Generation
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionSnapshotReady, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: s.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}
