package top

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
)

// sortings are what --sort-by takes.
var sortings = complete.Choices{"cpu", "memory"}

// usage is what a VM was measured to use; nil when it was not.
type usage struct {
	vm   *v1alpha1.VirtualMachine
	node string
	*v1alpha1.Usage
}

// usages returns what the operations have measured, by namespace and name or as by
// says, which has those that were not measured come last.
func usages(outcomes []operation.Outcome, by string) []usage {
	var all []usage
	for _, o := range outcomes {
		u := usage{vm: o.VM}
		if p := o.VM.Status.Placement; p != nil {
			u.node = p.NodeName
		}
		if o.Err == nil && o.Operation.Status.Usage != nil {
			u.node, u.Usage = o.Operation.Status.NodeName, o.Operation.Status.Usage
		}
		all = append(all, u)
	}
	used := func(u usage) int64 {
		switch {
		case u.Usage == nil:
			return -1
		case by == "cpu":
			return u.CPUMillis
		}
		return u.Memory
	}
	slices.SortFunc(all, func(a, b usage) int {
		largest := 0
		if by != "" {
			largest = cmp.Compare(used(b), used(a))
		}
		return cmp.Or(largest, cmp.Compare(a.vm.Namespace, b.vm.Namespace), cmp.Compare(a.vm.Name, b.vm.Name))
	})
	return all
}

// print writes a table.
func print(out io.Writer, all []usage, namespaces bool) error {
	header := []string{"NAME", "HOST", "CPU", "CPU%", "MEMORY", "GUEST-USED", "READ/S", "WRITTEN/S", "RECEIVED/S", "SENT/S"}
	if namespaces {
		header = append([]string{"NAMESPACE"}, header...)
	}
	var rows [][]string
	for _, u := range all {
		row := append([]string{u.vm.Name, cmp.Or(u.node, unknown)}, u.cells()...)
		if namespaces {
			row = append([]string{u.vm.Namespace}, row...)
		}
		rows = append(rows, row)
	}
	return output.Table(out, header, rows)
}

// unknown is in the place of what was not measured.
const unknown = "-"

// cells are the columns from CPU on.
func (u usage) cells() []string {
	if u.Usage == nil {
		return slices.Repeat([]string{unknown}, 8)
	}
	guest := unknown
	if u.GuestMemoryUsed != nil {
		guest = size(*u.GuestMemoryUsed)
	}
	return []string{
		fmt.Sprintf("%dm", u.CPUMillis), percent(u.CPUMillis, u.vm), size(u.Memory), guest,
		size(u.BlockRead), size(u.BlockWritten), size(u.NetReceived), size(u.NetSent),
	}
}

// percent is of the VM's vCPUs; QEMU's own threads can take it beyond 100.
func percent(millis int64, vm *v1alpha1.VirtualMachine) string {
	cpus := int64(vm.Spec.Resources.CPU)
	if cpus == 0 {
		return unknown
	}
	return fmt.Sprintf("%d%%", (millis+5*cpus)/(10*cpus))
}

// size writes bytes with three digits or four, in binary units.
func size(bytes int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 || value >= 10 {
		return fmt.Sprintf("%.0f%s", value, units[unit])
	}
	return fmt.Sprintf("%.1f%s", value, units[unit])
}
