package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// waitRunning waits until n VMs of the namespace run, and returns all of it.
func waitRunning(t *testing.T, ns string, n int) []v1alpha1.VirtualMachine {
	t.Helper()
	var list v1alpha1.VirtualMachineList
	var waiting []string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err := suite.client.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		waiting = nil
		for i := range list.Items {
			if !runs(&list.Items[i]) {
				waiting = append(waiting, fmt.Sprintf("%s: %+v", list.Items[i].Name, list.Items[i].Status))
			}
		}
		if len(list.Items)-len(waiting) >= n {
			return list.Items
		}
	}
	t.Fatalf("%d VMs run, want %d; these do not:\n%s", len(list.Items)-len(waiting), n, strings.Join(waiting, "\n"))
	return nil
}

// running is for waitVM.
func running(vm *v1alpha1.VirtualMachine) string {
	if !runs(vm) {
		return fmt.Sprintf("does not run: %+v", vm.Status)
	}
	return ""
}

func runs(vm *v1alpha1.VirtualMachine) bool {
	s := &vm.Status
	return s.Placement != nil && s.Host != nil && s.Host.Epoch == s.Epoch && s.Host.State == v1alpha1.HostRunning
}

// fitTogether adds up, without the product's arithmetic, what the VMs that run
// hold on each host, and fails the test where it is more than there is, or
// where two have the same CPU or device.
func fitTogether(t *testing.T, hosts []string, vms []v1alpha1.VirtualMachine) {
	t.Helper()
	for _, name := range hosts {
		var held []*v1alpha1.VirtualMachine
		for i := range vms {
			if runs(&vms[i]) && vms[i].PlacedOn(name) {
				held = append(held, &vms[i])
			}
		}
		for _, wrong := range overbooked(&hypervisor(t, name).Status, held) {
			t.Errorf("host %s: %s", name, wrong)
		}
	}
}

// overbooked says what does not fit on a host without overcommit.
func overbooked(host *v1alpha1.HypervisorStatus, vms []*v1alpha1.VirtualMachine) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	type pool struct {
		cell int32 // -1: the host
		size v1alpha1.PageSize
	}
	bytes, owner := map[pool]int64{}, map[string]string{}
	give := func(what, to string) {
		if before, given := owner[what]; given {
			say("%s belongs to %s and to %s", what, before, to)
		}
		owner[what] = to
	}
	cpus, pinned := int64(0), cpuset.New()
	for _, vm := range vms {
		p := vm.Status.Placement
		cpus += int64(p.Granted.CPU)
		bytes[pool{-1, p.Granted.PageSize}] += p.Granted.Memory
		bytes[pool{-1, ""}] += p.Granted.Overhead
		for _, c := range p.Cells {
			bytes[pool{c.ID, p.Granted.PageSize}] += c.Memory
			own, idle := parse(say, c.CPUs), parse(say, c.Idle)
			if vm.Spec.Resources.CPUPolicy == v1alpha1.CPUDedicated && own.Size() != int(c.CPU) {
				say("%s has %d vCPUs on %d CPUs", vm.Name, c.CPU, own.Size())
			}
			cpus += int64(idle.Size())
			pinned = pinned.Union(own)
			for _, cpu := range own.Union(idle).List() {
				give(fmt.Sprintf("CPU %d", cpu), vm.Name)
			}
		}
		for _, d := range p.Devices {
			if !slices.ContainsFunc(host.Devices, func(h v1alpha1.HostDevice) bool { return h.Name == d.Name && h.Address == d.Address }) {
				say("%s is given %s at %s, which is not there", vm.Name, d.Name, d.Address)
			}
			give("device "+d.Address, vm.Name)
		}
	}
	if cpus > host.Allocatable.CPU {
		say("%d CPUs are given away, and there are %d", cpus, host.Allocatable.CPU)
	}
	have := map[pool]int64{
		{-1, ""}:                   host.Allocatable.Memory,
		{-1, v1alpha1.PageSize2Mi}: host.Allocatable.Hugepages2Mi,
		{-1, v1alpha1.PageSize1Gi}: host.Allocatable.Hugepages1Gi,
	}
	for _, c := range host.Cells {
		pinned = pinned.Difference(parse(say, c.CPUs))
		ordinary := c.Memory
		for _, p := range c.Hugepages {
			size := map[v1alpha1.PageSize]int64{v1alpha1.PageSize2Mi: 2 << 20, v1alpha1.PageSize1Gi: 1 << 30}[p.Size]
			have[pool{c.ID, p.Size}] = p.Total * size
			ordinary -= p.Total * size
		}
		have[pool{c.ID, ""}] = ordinary
	}
	if !pinned.IsEmpty() {
		say("there are no CPUs %s", pinned)
	}
	for p, n := range bytes {
		if n > have[p] {
			say("%d bytes of pages %q are given away in cell %d, and there are %d", n, p.size, p.cell, have[p])
		}
	}
	return wrong
}

func parse(say func(string, ...any), set string) cpuset.CPUSet {
	out, err := cpuset.Parse(set)
	if err != nil {
		say("reading %q: %v", set, err)
	}
	return out
}
