package executor

import (
	"errors"
	"fmt"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// causeOf is why libvirt did not do something to the guest of the VM, for a
// sentence that says what: without that and the domain's UUID.
func causeOf(err error, vm *v1alpha1.VirtualMachine) string {
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

// powerFailure is that the guest could not be brought into the power state that
// spec asks for; doing is a gerund: "pausing the guest".
func powerFailure(reason, doing string, err error, vm *v1alpha1.VirtualMachine) Failure {
	remedy := "set spec.powerState back to have it given up"
	if errors.Is(err, libvirt.ErrTimeout) || reason == v1alpha1.ReasonResumeFailed {
		remedy = endsHanging(vm)
	}
	return Failure{Reason: reason, Message: fmt.Sprintf("%s failed and is tried again: %s; %s", doing, causeOf(err, vm), remedy)}
}

// endsHanging says what gets rid of a guest that answers nothing.
func endsHanging(vm *v1alpha1.VirtualMachine) string {
	return fmt.Sprintf("`virtctl stop --force -n %s %s` ends a guest that hangs", vm.Namespace, vm.Name)
}
