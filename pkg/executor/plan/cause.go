package plan

import (
	"errors"
	"fmt"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// CauseOf is why libvirt did not do something to the guest of the VM, for a
// sentence that says what: without that and the domain's UUID.
func CauseOf(err error, vm *v1alpha1.VirtualMachine) string {
	if errors.Is(err, libvirt.ErrTimeout) {
		return libvirt.ErrTimeout.Error()
	}
	cause := err.Error()
	var own *libvirt.Error
	if errors.As(err, &own) && own.Message != "" {
		cause = own.Message
	}
	return strings.ReplaceAll(cause, "domain "+vm.DomainUUID(), "the guest")
}

// PowerFailure is that the guest could not be brought into the power state that
// spec asks for; doing is a gerund: "pausing the guest".
func PowerFailure(reason, doing string, err error, vm *v1alpha1.VirtualMachine) Failure {
	remedy := "set spec.powerState back to have it given up"
	if errors.Is(err, libvirt.ErrTimeout) || reason == v1alpha1.ReasonResumeFailed {
		remedy = EndsHanging(vm)
	}
	return Failure{Reason: reason, Message: fmt.Sprintf("%s failed and is tried again: %s; %s", doing, CauseOf(err, vm), remedy)}
}

// EndsHanging says what gets rid of a guest that answers nothing.
func EndsHanging(vm *v1alpha1.VirtualMachine) string {
	return fmt.Sprintf("`virtctl stop --force -n %s %s` ends a guest that hangs", vm.Namespace, vm.Name)
}
