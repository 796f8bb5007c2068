package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// claims waits until the VM's condition is as said; empty for none.
func claims(want string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		c, got := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionDiskClaimsPending), ""
		if c != nil {
			got = c.Reason + ": " + c.Message
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			return fmt.Sprintf("%q, not %q", got, want)
		}
		return ""
	}
}

// claimedBy waits until the disk is the VM's; nobody's where vm is nil.
func claimedBy(vm *v1alpha1.VirtualMachine) func(*v1alpha1.VirtualDisk) string {
	return func(d *v1alpha1.VirtualDisk) string {
		if c := d.Status.ClaimedBy; vm == nil && c != nil || vm != nil && (c == nil || c.UID != vm.UID || d.Status.NodeName != vm.Status.Placement.NodeName) {
			return fmt.Sprintf("%+v", d.Status)
		}
		return ""
	}
}

// Disks that come into spec.disks of VMs that have a host, and go. The hosts'
// guests run nowhere, so that nothing can be plugged into them.
func TestDisksOfVMsThatHaveAHost(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	for i := range 2 {
		newEmbeddedHost(t, ns, fmt.Sprintf("%s-plug-host-%d", ns, i), libvirt.Pool{Name: "default", Type: "dir", Capacity: 10 * gib})
	}
	t.Cleanup(func() {
		ctx := context.Background()
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualDisk{}, client.InNamespace(ns))
	})
	create := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	disks := func(vm string, names ...string) {
		t.Helper()
		set(t, ns, vm, func(s *v1alpha1.VirtualMachineSpec) {
			s.Disks = nil
			for _, name := range names {
				s.Disks = append(s.Disks, v1alpha1.VirtualMachineDisk{Name: name, DiskName: name})
			}
		})
	}
	waitWebhook(t)
	create(newVM(ns, "vm", 1, 1))
	vm := waitVM(t, ns, "vm", stateIs("Running"))
	home := vm.Status.Placement.NodeName

	// A disk that is at home nowhere comes to be there, and is made.
	create(newDisk(ns, "a", 6))
	disks("vm", "a")
	waitDisk(t, ns, "a", claimedBy(vm))
	waitDisk(t, ns, "a", diskReady)
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionRestartRequired); c == nil || !strings.Contains(c.Message, "spec.disks[a] (") {
			return fmt.Sprintf("%+v", vm.Status.Conditions)
		}
		return claims("")(vm)
	})

	// What cannot be had is said, and given as soon as it can be.
	disks("vm", "a", "b", "c")
	waitVM(t, ns, "vm", claims("DiskMissing: there is no VirtualDisk b in namespace "+ns))
	create(newDisk(ns, "b", 6))
	waitVM(t, ns, "vm", claims("NoSpace: VirtualDisk b: host "+home+" is one of those that have less than 6Gi left in storage pool default"))
	create(newDisk(ns, "c", 2))
	waitDisk(t, ns, "c", claimedBy(vm))
	disks("vm", "a", "c")
	waitVM(t, ns, "vm", claims(""))

	// b finds its home with another VM, on the other host, and c has a writer.
	create(newVM(ns, "other", 1, 1, withDisks("b")))
	other := waitVM(t, ns, "other", stateIs("Running"))
	if other.Status.Placement.NodeName == home {
		t.Fatalf("6 GiB were found beside 8 in a pool of 10")
	}
	disks("other", "b", "c")
	waitVM(t, ns, "other", claims("DiskInUse: VirtualDisk c has a single writer, VirtualMachine vm"))
	disks("other", "b")
	waitVM(t, ns, "other", claims(""))
	disks("vm", "a", "b", "c")
	waitVM(t, ns, "vm", claims("DiskInUse: VirtualDisk b has a single writer, VirtualMachine other"))
	if err := suite.client.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	waitVM(t, ns, "vm", claims("DiskElsewhere: VirtualDisk b is on host "+other.Status.Placement.NodeName+" and the VM on "+home))

	// A VM that is stopped gives back what it does not name, and keeps the rest. So
	// does one that runs, whose guest never had it.
	disks("vm", "a")
	waitVM(t, ns, "vm", claims(""))
	waitDisk(t, ns, "c", claimedBy(nil))
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) { s.PowerState = v1alpha1.PowerStopped })
	waitVM(t, ns, "vm", stateIs("Stopped"))
	waitDisk(t, ns, "a", claimedBy(vm))
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) { s.PowerState = v1alpha1.PowerRunning })
	again := waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if why := stateIs("Running")(vm); why != "" {
			return why
		}
		if vm.Status.ObservedGeneration != vm.Generation {
			return fmt.Sprintf("%+v", vm.Status)
		}
		return ""
	})
	if again.Status.Epoch != vm.Status.Epoch || again.Status.Placement.NodeName != home {
		t.Errorf("it was placed anew: %+v", again.Status)
	}
	disks("vm")
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) { s.PowerState = v1alpha1.PowerStopped })
	waitVM(t, ns, "vm", stateIs("Stopped"))
	waitDisk(t, ns, "a", claimedBy(nil))
}

func TestDisksAndTraysAreChecked(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	waitWebhook(t)
	ns := namespace(t, nil)
	for name, test := range map[string]struct{ disk, want string }{
		"an empty tray":          {`{name: cd, type: cdrom}`, ""},
		"a tray with a medium":   {`{name: cd, type: cdrom, diskName: iso, forceEject: true}`, ""},
		"a disk of nothing":      {`{name: data}`, "name a VirtualDisk; only a cdrom may be empty"},
		"a disk that is ejected": {`{name: data, diskName: data, forceEject: true}`, "is for a cdrom alone"},
	} {
		t.Run(name, func(t *testing.T) {
			vm := documentOf(t, "{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {generateName: test-}, spec: {resources: {cpu: 1, memory: 1Gi}, disks: ["+test.disk+"]}}")
			vm.SetNamespace(ns)
			err := suite.client.Create(t.Context(), vm, client.DryRunAll)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
