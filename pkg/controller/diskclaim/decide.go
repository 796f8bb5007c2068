// Package diskclaim gives VMs that have a host the VirtualDisks that their specs
// have come to name since they were placed. The scheduler gives a VM its disks when
// it places it, and looks at it no more then; the space of pools is counted by the
// same account (pkg/plugins/disklocality).
package diskclaim

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/disklocality"
)

// concerns says whether there may be something to do about the VM.
func concerns(vm *v1alpha1.VirtualMachine) bool {
	if meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionDiskClaimsPending) != nil {
		return true
	}
	return wants(vm)
}

// wants says whether the VM may get disks: one that gives its host up, or whose host
// has given it up, is placed anew with all of them.
func wants(vm *v1alpha1.VirtualMachine) bool {
	s := &vm.Status
	over := s.Host != nil && s.Host.Epoch == s.Epoch && (s.Host.State == v1alpha1.HostGone || s.Host.State == v1alpha1.HostRejected)
	return s.Placement != nil && s.Eviction == nil && vm.DeletionTimestamp == nil && !over && len(vm.DiskNames()) > 0
}

// mark says in the status which disks the VM does not get, or takes that back.
func mark(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, refused []disklocality.Refusal, now time.Time) {
	if len(refused) == 0 {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionDiskClaimsPending)
		return
	}
	words := make([]string, len(refused))
	for i := range refused {
		words[i] = refused[i].Message
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDiskClaimsPending, Status: metav1.ConditionTrue, Reason: refused[0].Reason, Message: strings.Join(words, "; "),
		ObservedGeneration: vm.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}
