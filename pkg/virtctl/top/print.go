package top

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
)

// sortings are what --sort-by takes.
var sortings = []string{"cpu", "memory"}

// usage is what a VM was measured to use.
type usage struct {
	vm   *v1alpha1.VirtualMachine
	node string
	v1alpha1.Usage
}

// usages returns what the operations that succeeded have measured, by namespace
// and name or as by says.
func usages(outcomes []operation.Outcome, by string) []usage {
	var all []usage
	for _, o := range outcomes {
		if o.Err == nil && o.Operation.Status.Usage != nil {
			all = append(all, usage{vm: o.VM, node: o.Operation.Status.NodeName, Usage: *o.Operation.Status.Usage})
		}
	}
	slices.SortFunc(all, func(a, b usage) int {
		largest := 0
		switch by {
		case "cpu":
			largest = cmp.Compare(b.CPUMillis, a.CPUMillis)
		case "memory":
			largest = cmp.Compare(b.Memory, a.Memory)
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
		guest := "-"
		if u.GuestMemoryUsed != nil {
			guest = size(*u.GuestMemoryUsed)
		}
		row := []string{
			u.vm.Name, u.node, fmt.Sprintf("%dm", u.CPUMillis), percent(u.CPUMillis, u.vm), size(u.Memory), guest,
			size(u.BlockRead), size(u.BlockWritten), size(u.NetReceived), size(u.NetSent),
		}
		if namespaces {
			row = append([]string{u.vm.Namespace}, row...)
		}
		rows = append(rows, row)
	}
	return output.Table(out, header, rows)
}

// percent is of the VM's vCPUs; QEMU's own threads can take it beyond 100.
func percent(millis int64, vm *v1alpha1.VirtualMachine) string {
	cpus := int64(vm.Spec.Resources.CPU)
	if cpus == 0 {
		return "-"
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
