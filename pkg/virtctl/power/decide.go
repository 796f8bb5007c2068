package power

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/wait"
)

// decision is what a verb does to a VM.
type decision struct {
	// refusal says why nothing is done.
	refusal error
	// patch says that spec.powerState is written, operation that an operation is
	// created, and said is what the user is told.
	patch, operation bool
	said             string
}

// decide says what to do to a VM for it to be as the verb says.
func (o *command) decide(vm *v1alpha1.VirtualMachine) decision {
	if vm.DeletionTimestamp != nil {
		return o.decideLeaving(vm)
	}
	power, state := vm.Spec.PowerState, wait.GuestState(vm)
	if power == "" {
		power = v1alpha1.PowerRunning
	}
	d := decision{patch: power != o.state, said: o.asked}
	if !d.patch {
		d.said = o.already
	}
	switch o.name {
	case start.name:
		if wait.RunOver(vm) {
			return decision{refusal: wait.RanOnce(vm.Name)}
		}
		d.operation = state == v1alpha1.HostEnded && !d.patch
	case stop.name:
		d.operation = o.force && wait.HasGuest(vm)
	case resume.name:
		if power == v1alpha1.PowerStopped {
			if wait.RunOver(vm) {
				return decision{refusal: wait.RanOnce(vm.Name)}
			}
			return decision{refusal: failure.Refused("virtualmachine %q is neither paused nor suspended but asked to be Stopped: `virtctl start %s`", vm.Name, vm.Name)}
		}
	case pause.name:
		if d.patch && state != v1alpha1.HostRunning && state != v1alpha1.HostPaused {
			return decision{refusal: without(vm, "pause")}
		}
	case suspend.name:
		if d.patch && state != v1alpha1.HostRunning && state != v1alpha1.HostPaused {
			return decision{refusal: without(vm, "suspend")}
		}
	}
	return d
}

// decideLeaving says what to do to a VM that is being deleted: its guest can be
// switched off before its grace is over, and nothing else.
func (o *command) decideLeaving(vm *v1alpha1.VirtualMachine) decision {
	switch {
	case o.name == stop.name && o.force && wait.HasGuest(vm):
		return decision{operation: true}
	case o.name == stop.name && wait.HasGuest(vm):
		return decision{refusal: failure.Refused("virtualmachine %q is being deleted, and its guest shut down for that: `virtctl stop %s --force` switches it off at once", vm.Name, vm.Name)}
	}
	return decision{refusal: failure.Refused("virtualmachine %q is being deleted: create it anew when it is gone (`virtctl wait %s --for=deleted`)", vm.Name, vm.Name)}
}

// without refuses what needs a guest.
func without(vm *v1alpha1.VirtualMachine, what string) error {
	first := fmt.Sprintf("virtctl start %s --wait", vm.Name)
	switch hold := vm.Status.Hold; {
	case wait.RunOver(vm):
		return wait.RanOnce(vm.Name)
	case hold != nil && hold.Generation >= vm.Generation:
		return wait.Held(vm)
	case wait.GuestState(vm) == v1alpha1.HostSuspended:
		first = fmt.Sprintf("virtctl resume %s --wait", vm.Name)
	case vm.Spec.PowerState == v1alpha1.PowerRunning && wait.GuestState(vm) != v1alpha1.HostEnded:
		first = fmt.Sprintf("virtctl wait %s --for=running", vm.Name)
	}
	return failure.Refused("virtualmachine %q has no running guest to %s, it is %s: `%s` first", vm.Name, what, vm.Status.Phase, first)
}

// write asks for a power state, of this VM and not of a later one of its name.
func write(ctx context.Context, c client.Client, vm *v1alpha1.VirtualMachine, state v1alpha1.PowerState) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": vm.UID},
		"spec":     map[string]any{"powerState": state},
	})
	if err != nil {
		return err
	}
	err = c.Patch(ctx, vm, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) {
		return failure.NotFound("virtualmachine %q has been deleted, and another one of that name created: try again", vm.Name)
	}
	return failure.API(err, "writing virtualmachine %s", vm.Name)
}
