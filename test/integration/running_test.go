package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa/oracle"
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

// fitTogether counts, without the product's arithmetic, what the VMs that run
// hold on each host, and fails the test where it is more than there is, or
// where two have the same CPU or device.
func fitTogether(t *testing.T, hosts []string, vms []v1alpha1.VirtualMachine) {
	t.Helper()
	for _, name := range hosts {
		var held []v1alpha1.Placement
		for i := range vms {
			if runs(&vms[i]) && vms[i].PlacedOn(name) {
				held = append(held, *vms[i].Status.Placement)
			}
		}
		if broken := oracle.Broken(&hypervisor(t, name).Status, held); broken != "" {
			t.Errorf("host %s: %s", name, broken)
		}
	}
}
