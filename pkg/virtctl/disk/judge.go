package disk

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/wait"
)

// verdict is how far the guest has followed its VM's spec.
type verdict struct {
	// done says that it has, or that there is no guest to follow.
	done, noGuest bool
	// waiting says what it waits for.
	waiting string
	// err says that it will not before it is started anew.
	err error
}

// placedAnew is in what its host says of a VM that cannot have a disk where it is.
const placedAnew = "placed anew"

// judge says whether the guest has the disk name as the VM's spec has it.
func judge(vm *v1alpha1.VirtualMachine, name string) verdict {
	if !wait.HasGuest(vm) {
		return verdict{done: true, noGuest: true}
	}
	wanted := slices.IndexFunc(vm.Spec.Disks, func(d v1alpha1.VirtualMachineDisk) bool { return d.Name == name })
	has := slices.IndexFunc(vm.Status.Host.Disks, func(d v1alpha1.GuestDisk) bool { return d.Name == name })
	switch {
	case wanted < 0 && has < 0:
		return verdict{done: true}
	case wanted >= 0 && has >= 0 && vm.Spec.Disks[wanted].DiskName == vm.Status.Host.Disks[has].DiskName:
		return verdict{done: true}
	}
	if c := said(vm, v1alpha1.ConditionRestartRequired); c != nil && strings.Contains(c.Message, "spec.disks["+name+"]") {
		if strings.Contains(c.Message, placedAnew) {
			if claims := said(vm, v1alpha1.ConditionDiskClaimsPending); claims != nil {
				return verdict{err: failure.Refused("virtualmachine %q: %s; the guest runs on without it, and restarted now it would wait until one host can have all its disks", vm.Name, claims.Message)}
			}
			return verdict{err: failure.Refused("virtualmachine %q: %s: see first that one host can have all its disks, for otherwise it waits without a guest", vm.Name, c.Message)}
		}
		return verdict{err: failure.Refused("virtualmachine %q: %s: `virtctl restart %s`", vm.Name, c.Message, vm.Name)}
	}
	for _, kind := range []string{v1alpha1.ConditionDiskClaimsPending, v1alpha1.ConditionDisksPending} {
		if c := said(vm, kind); c != nil {
			return verdict{waiting: c.Message}
		}
	}
	return verdict{waiting: "waits for its host"}
}

// said is a condition that is True and about the spec as it is now; nil otherwise.
func said(vm *v1alpha1.VirtualMachine, kind string) *metav1.Condition {
	c := meta.FindStatusCondition(vm.Status.Conditions, kind)
	if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != vm.Generation {
		return nil
	}
	return c
}
