// Package placementmap is the fleet as a picture: which hosts there are, how full
// they and their NUMA cells are, which VMs lie where and which wait. It keeps one
// document for each host and VM, made from the informers that vm-scheduler has
// anyway, and serves them as a web page to whoever may list them.
package placementmap

import (
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// Amount is what is used of something and how much of it there is: vCPUs, or
// bytes. More may be used than there is, where what a host offers has shrunk.
type Amount [2]int64

// Amounts are those of a host or of a cell.
type Amounts struct {
	// CPU counts vCPUs, overcommit included.
	CPU Amount `json:"cpu"`
	// Memory is ordinary memory in bytes; the hugepages are bytes of the pools.
	Memory       Amount `json:"memory"`
	Hugepages2Mi Amount `json:"hugepages2Mi"`
	Hugepages1Gi Amount `json:"hugepages1Gi"`
}

// Host is a host as the map shows it.
type Host struct {
	Name string `json:"name"`
	// Ready says that its executor is heard and reaches libvirt, Schedulable that
	// VMs without tolerations of their own may come.
	Ready       bool `json:"ready"`
	Schedulable bool `json:"schedulable"`
	Simulated   bool `json:"simulated,omitempty"`
	// Notes say what is out of the ordinary, a sentence each.
	Notes []string `json:"notes,omitempty"`
	// VMs counts those placed here, also those that a viewer may not list.
	VMs int `json:"vms"`
	Amounts
	Cells []Cell `json:"cells,omitempty"`
}

// Cell is a NUMA cell of a host. What is used is what VMs have bound to it: those
// that are bound to no cell are counted for the host alone.
type Cell struct {
	ID int32 `json:"id"`
	// CPUs are the host's logical CPUs there, in Linux list format.
	CPUs string `json:"cpus"`
	// Dedicated counts the physical CPUs that VMs have to themselves or keep idle.
	Dedicated int64 `json:"dedicated,omitempty"`
	Amounts
}

// VM is a VM as the map shows it.
type VM struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Phase is the VM's, or Terminating once its deletion was asked for.
	Phase string `json:"phase"`
	// Host is where it is placed, Nominated where room is made for it.
	Host      string `json:"host,omitempty"`
	Nominated string `json:"nominated,omitempty"`
	// Waits says that it wants a host and has none.
	Waits bool `json:"waits,omitempty"`
	// CPU counts vCPUs, Memory is in bytes: what it was granted, or asks for.
	CPU    int32 `json:"cpu"`
	Memory int64 `json:"memory"`
	// PageSize is 2Mi or 1Gi for memory in hugepages.
	PageSize string `json:"pageSize,omitempty"`
	// Dedicated says that it has CPUs to itself.
	Dedicated bool     `json:"dedicated,omitempty"`
	Cells     []VMCell `json:"cells,omitempty"`
	// Reason and Message are the status', Message cut to messageLength.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// VMCell is what a VM has of a NUMA cell: vCPUs, bytes, and the host CPUs that are
// its own.
type VMCell struct {
	ID     int32  `json:"id"`
	CPU    int32  `json:"cpu,omitempty"`
	Memory int64  `json:"memory,omitempty"`
	CPUs   string `json:"cpus,omitempty"`
}

// messageLength bounds a message in the list, in bytes; a click shows all of it.
const messageLength = 240

// thousandth is the unit of numa.Host's Overcommit.
const thousandth = 1000

// hostOf makes a host of what its Hypervisor and its Node report and of the VMs
// placed there. node is nil where there is none.
func hostOf(hv *v1alpha1.Hypervisor, node *corev1.Node, vms []*v1alpha1.VirtualMachine) *Host {
	h := &Host{Name: hv.Name, Simulated: hv.Status.Simulated, VMs: len(vms)}
	h.Ready, h.Schedulable, h.Notes = standing(hv, node)
	usage, note := usageOf(hv, node, vms)
	if note != "" {
		h.Notes = append(h.Notes, note)
	}
	total := usage.Host().Allocatable
	h.Amounts = amounts(total.Sub(usage.Free()), total)
	for i := range usage.Host().Cells {
		h.Cells = append(h.Cells, cellOf(usage, i))
	}
	return h
}

// standing says whether the host can be asked and may be given VMs, and why not.
func standing(hv *v1alpha1.Hypervisor, node *corev1.Node) (ready, schedulable bool, notes []string) {
	condition := meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorReady)
	ready = condition != nil && condition.Status == "True"
	if !ready {
		said := "its executor has not reported yet"
		if condition != nil {
			said = condition.Reason + ": " + condition.Message
		}
		notes = append(notes, "not ready: "+said)
	}
	if c := meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorConsistent); c != nil && c.Status == "False" {
		notes = append(notes, c.Reason+": "+c.Message)
	}
	if node == nil {
		return false, false, append(notes, "it has no Node: no VM is placed here")
	}
	if node.Spec.Unschedulable {
		notes = append(notes, "cordoned: no new VM is placed here")
	}
	for _, taint := range node.Spec.Taints {
		switch taint.Key {
		case v1alpha1.HypervisorTaint, corev1.TaintNodeUnschedulable:
		case v1alpha1.ExecutorUnreachableTaint:
			ready, notes = false, append(notes, "its executor is not heard; guests run on")
		case v1alpha1.LibvirtUnavailableTaint:
			ready, notes = false, append(notes, "its executor cannot reach libvirt; guests run on")
		default:
			notes = append(notes, "tainted "+taint.ToString())
		}
	}
	return ready, !node.Spec.Unschedulable, notes
}

// usageOf counts as the scheduler does: the smaller of what Hypervisor and Node
// offer, and of each VM what it was granted. The note says what cannot be counted.
func usageOf(hv *v1alpha1.Hypervisor, node *corev1.Node, vms []*v1alpha1.VirtualMachine) (*numa.Usage, string) {
	note := ""
	host, err := numa.FromHypervisor(&hv.Status)
	if err != nil {
		host, note = numa.Flat(capacity.FromHost(hv.Status.Allocatable)), "its cells cannot be read: "+err.Error()
	}
	if node != nil {
		host = host.Limit(capacity.FromList(node.Status.Allocatable))
	}
	usage := numa.NewUsage(&host)
	for _, vm := range vms {
		p := vm.Status.Placement
		if usage.Add(p) != nil {
			usage.AddFloating(capacity.FromGranted(p.Granted))
		}
	}
	return usage, note
}

func cellOf(usage *numa.Usage, i int) Cell {
	cell, in := &usage.Host().Cells[i], usage.InCell(i)
	ratio := usage.Host().Overcommit
	total := cell.Bytes()
	total.CPU = int64(cell.CPUs.Size()) * ratio / thousandth
	used := in.Memory
	used.CPU = in.Shared + (in.Dedicated*ratio+thousandth-1)/thousandth
	return Cell{ID: cell.ID, CPUs: cell.CPUs.String(), Dedicated: in.Dedicated, Amounts: amounts(used, total)}
}

func amounts(used, total capacity.Resources) Amounts {
	return Amounts{
		CPU:          Amount{used.CPU, total.CPU},
		Memory:       Amount{used.Memory, total.Memory},
		Hugepages2Mi: Amount{used.Hugepages2Mi, total.Hugepages2Mi},
		Hugepages1Gi: Amount{used.Hugepages1Gi, total.Hugepages1Gi},
	}
}

// vmOf makes a VM of what the API server has.
func vmOf(vm *v1alpha1.VirtualMachine) *VM {
	granted := podless.Desired(vm)
	v := &VM{
		Namespace: vm.Namespace, Name: vm.Name, Phase: string(vm.Status.Phase), Nominated: vm.Status.NominatedNodeName,
		Dedicated: vm.Spec.Resources.CPUPolicy == v1alpha1.CPUDedicated,
		Reason:    vm.Status.Reason, Message: cut(vm.Status.Message, messageLength),
	}
	if v.Phase == "" {
		v.Phase = string(v1alpha1.PhasePending)
	}
	if vm.DeletionTimestamp != nil {
		v.Phase = "Terminating"
	}
	if p := vm.Status.Placement; p != nil {
		granted, v.Host = p.Granted, p.NodeName
		for _, c := range p.Cells {
			v.Cells = append(v.Cells, VMCell{ID: c.ID, CPU: c.CPU, Memory: c.Memory, CPUs: c.CPUs})
		}
	} else {
		v.Waits = podless.Wants(vm)
	}
	v.CPU, v.Memory, v.PageSize = granted.CPU, granted.Memory, string(granted.PageSize)
	return v
}

// cut shortens text to about so many bytes, between characters.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// sorted are the VMs by name, so that the same VMs always count in the same order.
func sorted(vms map[key]*v1alpha1.VirtualMachine) []*v1alpha1.VirtualMachine {
	out := make([]*v1alpha1.VirtualMachine, 0, len(vms))
	for _, vm := range vms {
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b *v1alpha1.VirtualMachine) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
