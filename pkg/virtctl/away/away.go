// Package away tells of VMs whose host cannot be asked, as vm-scheduler says it in
// their conditions.
package away

import (
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/output"
)

// Is says whether the VM's host is away: what its status says of the guest may be
// old.
func Is(vm *v1alpha1.VirtualMachine) bool { return condition(vm) != nil }

// Why says in one line why the host cannot be asked, and what to do about it; ""
// when it can.
func Why(vm *v1alpha1.VirtualMachine) string {
	c := condition(vm)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("its host is away: %s: %s", c.Reason, output.Safe(c.Message))
}

// Since is since when that is said; zero when it is not.
func Since(vm *v1alpha1.VirtualMachine) metav1.Time {
	if c := condition(vm); c != nil {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

func condition(vm *v1alpha1.VirtualMachine) *metav1.Condition {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionHostReachable)
	if vm.Status.Placement == nil || c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return c
}

// Tell writes a line for each VM whose host is away: what is asked of it waits,
// and whoever asks is to know before waiting too.
func Tell(out io.Writer, vms []v1alpha1.VirtualMachine) error {
	var errs []error
	for i := range vms {
		if why := Why(&vms[i]); why != "" {
			_, err := fmt.Fprintf(out, "virtualmachine/%s: %s\n", vms[i].Name, why)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
