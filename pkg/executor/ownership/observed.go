// Package ownership reads the marks by which domains are known as VirtualMachines'.
package ownership

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

// Observed is a domain on the host together with its ownership mark.
type Observed struct {
	libvirt.Domain
	// Owned is false for a domain without a (readable) mark: it is not ours
	// and never touched.
	Owned     bool
	Ownership convert.Ownership
}

// Observe reads a domain's ownership mark. A mark that cannot be read is no
// licence to touch the domain.
func Observe(d libvirt.Domain) Observed {
	mark, owned, err := convert.ParseOwnership(d.Metadata)
	if err != nil || !owned {
		return Observed{Domain: d}
	}
	return Observed{Domain: d, Owned: true, Ownership: mark}
}

// JudgedBy says whether the domain's mark names the VM (by namespace and name),
// so that its turn is the one to judge the domain. Any VM may claim a UUID. nil
// stands for the VM that the mark names and that is not there.
func (o Observed) JudgedBy(vm *v1alpha1.VirtualMachine) bool {
	owner := o.Ownership.Owner
	return o.Owned && (vm == nil || owner.Namespace == vm.Namespace && owner.Name == vm.Name)
}
