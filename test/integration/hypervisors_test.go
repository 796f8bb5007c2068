package integration

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// shape is a host as its executor describes it; all its cells are alike.
type shape struct {
	cells int
	// cpus are the hardware threads of a cell, of which threads make a core;
	// default 1.
	cpus, threads int
	// memory is the ordinary memory of a cell in bytes.
	memory int64
	// pages2Mi and pages1Gi are a cell's pages.
	pages2Mi, pages1Gi int64
	devices            []v1alpha1.HostDevice
}

// status is what a Hypervisor says of the host. Cells come in pairs that are
// near each other.
func (s shape) status() v1alpha1.HypervisorStatus {
	out := v1alpha1.HypervisorStatus{
		Mode: v1alpha1.ModeDedicated, CPUOvercommit: "1", Devices: s.devices,
		DomainTypes: []v1alpha1.DomainType{{Type: "kvm", Arch: "x86_64"}},
		Summary:     v1alpha1.HostSummary{Cells: int32(s.cells)},
	}
	for i := range s.cells {
		out.Cells = append(out.Cells, s.cell(i))
	}
	n := int64(s.cells)
	out.Allocatable = v1alpha1.HostCapacity{
		CPU: n * int64(s.cpus), Memory: n * s.memory, Hugepages2Mi: n * s.pages2Mi << 21, Hugepages1Gi: n * s.pages1Gi << 30,
	}
	out.Capacity = out.Allocatable
	return out
}

func (s shape) cell(i int) v1alpha1.Cell {
	c := v1alpha1.Cell{ID: int32(i), Memory: s.memory + s.pages2Mi<<21 + s.pages1Gi<<30}
	threads := max(s.threads, 1)
	var all []int
	for cpu := i * s.cpus; cpu < (i+1)*s.cpus; cpu++ {
		all = append(all, cpu)
		if threads > 1 && cpu%threads == threads-1 {
			c.Siblings = append(c.Siblings, fmt.Sprintf("%d-%d", cpu-threads+1, cpu))
		}
	}
	c.CPUs = cpuset.New(all...).String()
	if s.pages2Mi > 0 {
		c.Hugepages = append(c.Hugepages, v1alpha1.PagePool{Size: v1alpha1.PageSize2Mi, Total: s.pages2Mi})
	}
	if s.pages1Gi > 0 {
		c.Hugepages = append(c.Hugepages, v1alpha1.PagePool{Size: v1alpha1.PageSize1Gi, Total: s.pages1Gi})
	}
	for other := range s.cells {
		d := v1alpha1.CellDistance{Cell: int32(other), Distance: 30}
		switch {
		case other == i:
			d.Distance = 10
		case other/2 == i/2:
			d.Distance = 12
		}
		c.Distances = append(c.Distances, d)
	}
	return c
}

// functions are n devices of a name in each of the cells.
func functions(name string, cells, n int) []v1alpha1.HostDevice {
	var out []v1alpha1.HostDevice
	for cell := range cells {
		for i := range n {
			at := int32(cell)
			out = append(out, v1alpha1.HostDevice{Name: name, Address: fmt.Sprintf("0000:%02x:%02x.%d", cell+1, i/8, i%8), Cell: &at})
		}
	}
	return out
}

// described makes n hosts of the shape, each with a Hypervisor, and removes
// them when the test ends.
func described(t *testing.T, ns string, n int, s shape) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-host-%d", ns, i)
		describe(t, ns, name, s)
		names = append(names, name)
	}
	return names
}

// describe makes one host. As an executor does, it writes the Hypervisor first
// and then the Node.
func describe(t *testing.T, ns, name string, s shape) {
	t.Helper()
	create(t, &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}})
	status := s.status()
	report(t, name, &status)
	host(t, ns, name, capacity.FromHost(status.Allocatable))
}

// report writes what an executor finds of its host.
func report(t *testing.T, name string, status *v1alpha1.HypervisorStatus) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		hv := hypervisor(t, name)
		// The conditions have another writer besides.
		conditions := hv.Status.Conditions
		hv.Status = *status.DeepCopy()
		hv.Status.Conditions = conditions
		return suite.client.Status().Update(t.Context(), hv)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func hypervisor(t *testing.T, name string) *v1alpha1.Hypervisor {
	t.Helper()
	hv := &v1alpha1.Hypervisor{}
	get(t, types.NamespacedName{Name: name}, hv)
	return hv
}

// --- what VMs may ask of cells ---

func numaPolicy(p v1alpha1.NUMAPolicy) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = p }
}

func hugepages(size v1alpha1.PageSize) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: size}
	}
}

func dedicated(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.CPUPolicy = v1alpha1.CPUDedicated }

func threadsApart(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.Threads = v1alpha1.ThreadsApart }

func devices(name string, count int32) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.Devices = append(vm.Spec.Resources.Devices, v1alpha1.DeviceRequest{Name: name, Count: count})
	}
}
