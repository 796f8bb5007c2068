package admission

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestDisksThatAGuestCannotHave(t *testing.T) {
	vm := func(disks ...v1alpha1.VirtualMachineDisk) *v1alpha1.VirtualMachine {
		out := &v1alpha1.VirtualMachine{}
		out.Spec.Disks = disks
		out.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "lan", BootOrder: 3}}
		return out
	}
	disk := func(name, of string, order int32) v1alpha1.VirtualMachineDisk {
		return v1alpha1.VirtualMachineDisk{Name: name, DiskName: of, BootOrder: order}
	}
	twice, order := vm(disk("root", "a", 0), disk("data", "a", 0)), vm(disk("root", "a", 3))
	for name, test := range map[string]struct {
		vm, old *v1alpha1.VirtualMachine
		want    string
	}{
		"two disks":                         {vm: vm(disk("root", "a", 1), disk("data", "b", 2))},
		"two empty trays":                   {vm: vm(disk("one", "", 0), disk("two", "", 0))},
		"one VirtualDisk twice":             {vm: twice, want: `spec.disks[1].diskName: Invalid value: "a": is the VirtualDisk of disk root too (spec.disks[0])`},
		"as it was":                         {vm: twice, old: twice},
		"as it was not":                     {vm: twice, old: vm(disk("root", "a", 0)), want: "spec.disks[1].diskName"},
		"one order of two disks":            {vm: vm(disk("root", "a", 1), disk("data", "b", 1)), want: "spec.disks[1].bootOrder: Invalid value: 1: is the order of spec.disks[0] too"},
		"one order of a disk and a card":    {vm: order, want: "spec.interfaces[0].bootOrder: Invalid value: 3: is the order of spec.disks[0] too"},
		"an order of two, as they had been": {vm: order, old: order},
	} {
		errs := append(checkDisks(test.vm, test.old), checkBootOrder(test.vm, test.old)...)
		if got := errs.ToAggregate(); test.want == "" && got != nil || test.want != "" && (got == nil || !strings.Contains(got.Error(), test.want)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
