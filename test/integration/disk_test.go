package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func newDisk(ns, name string, gb int64) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	d.Spec.Size = resource.NewQuantity(gb*gib, resource.BinarySI)
	return d
}

func withDisks(names ...string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		for _, name := range names {
			vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: name, DiskName: name})
		}
	}
}

// waitDisk waits until is returns "" for the disk, and returns it; nil stands for
// one that is gone.
func waitDisk(t *testing.T, ns, name string, is func(*v1alpha1.VirtualDisk) string) *v1alpha1.VirtualDisk {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		d := &v1alpha1.VirtualDisk{}
		err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, d)
		if apierrors.IsNotFound(err) {
			d = nil
		} else if err != nil {
			t.Fatal(err)
		}
		if last = is(d); last == "" {
			return d
		}
	}
	t.Fatalf("VirtualDisk %s/%s: %s", ns, name, last)
	return nil
}

func diskReady(d *v1alpha1.VirtualDisk) string {
	if d == nil || d.Status.Phase != v1alpha1.DiskReady {
		return fmt.Sprintf("not ready: %+v", d)
	}
	return ""
}

func diskGone(d *v1alpha1.VirtualDisk) string {
	if d != nil {
		return fmt.Sprintf("still there: %+v", d.Status)
	}
	return ""
}

// Disks on two hosts, from admission to their end.
func TestDisks(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts := map[string]*embeddedHost{}
	for i := range 2 {
		name := fmt.Sprintf("%s-disk-host-%d", ns, i)
		hosts[name] = newEmbeddedHost(t, ns, name, libvirt.Pool{Name: "default", Type: "dir", Capacity: 10 * gib})
	}
	t.Cleanup(func() {
		ctx := context.Background()
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualDisk{}, client.InNamespace(ns))
	})
	make := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	volumes := func(host string) []libvirt.Volume {
		t.Helper()
		all, err := hosts[host].libvirt.Volumes(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}

	make(newDisk(ns, "a", 4))
	waitWebhook(t)
	make(newVM(ns, "a", 1, 1, withDisks("a")))
	vm := waitVM(t, ns, "a", stateIs("Running"))
	a := waitDisk(t, ns, "a", diskReady)
	home := vm.Status.Placement.NodeName
	if a.Status.NodeName != home || a.Status.Capacity != 4*gib || a.Status.ClaimedBy == nil || a.Status.ClaimedBy.UID != vm.UID {
		t.Errorf("the VM is on %s, its disk: %+v", home, a.Status)
	}
	if all := volumes(home); len(all) != 1 || all[0].Name != a.VolumeName() {
		t.Errorf("volumes %+v, want %s", all, a.VolumeName())
	}

	// 6 GiB are left there, and 10 on the other host.
	make(newDisk(ns, "b", 8))
	make(newVM(ns, "b", 1, 1, withDisks("b")))
	b := waitVM(t, ns, "b", stateIs("Running"))
	other := b.Status.Placement.NodeName
	if other == home {
		t.Errorf("8 GiB were found beside 4 in a pool of 10")
	}
	make(newDisk(ns, "c", 8))
	make(newVM(ns, "c", 1, 1, withDisks("c")))
	waitVM(t, ns, "c", waiting("Unschedulable", "2 hosts: have less than 8Gi left in storage pool default"))
	make(newVM(ns, "b-too", 1, 1, withDisks("b")))
	waitVM(t, ns, "b-too", waiting("Unschedulable", "VirtualDisk b has a single writer, VirtualMachine b"))
	make(newVM(ns, "split", 1, 1, withDisks("none")))
	waitVM(t, ns, "split", waiting("Unschedulable", "there is no VirtualDisk none in namespace "+ns))

	// What is refused at once.
	for name, test := range map[string]struct{ patch, want string }{
		"it shrinks":           {`{"spec":{"size":"1Gi"}}`, "does not shrink"},
		"it begins again":      {`{"spec":{"source":{"disk":{"name":"b"}}}}`, "spec.source is immutable"},
		"it has no size":       {`{"spec":{"size":null}}`, "spec.size must"},
		"a size that is none":  {`{"spec":{"size":"0"}}`, "spec.size must be from 1Mi"},
		"libvirt's own volume": {`{"spec":{"volume":{"x":"y"}}}`, "spec.volume is not acted upon yet"},
	} {
		err := suite.client.Patch(t.Context(), a.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(test.patch)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	// An executor looks after its own disks, and leaves what is the scheduler's.
	for name, test := range map[string]struct{ host, patch, want string }{
		"another host's disk": {other, `{"status":{"phase":"Failed"}}`, "whose home is its own host only"},
		"another home":        {home, `{"status":{"nodeName":"` + other + `"}}`, "are vm-scheduler's to write"},
		"another claim":       {home, `{"status":{"claimedBy":{"name":"other","uid":"other"}}}`, "are vm-scheduler's to write"},
		"a move":              {home, `{"status":{"moveTo":{"id":"1","nodeName":"` + other + `","poolName":"default"}}}`, "are vm-scheduler's to write"},
	} {
		cfg, err := suite.plane.as("domus:executor:"+test.host, "domus:executors")
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Status().Patch(t.Context(), a.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(test.patch)))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}

	// It grows under its guest, as far as there is room.
	grow := func(size string) {
		t.Helper()
		if err := suite.client.Patch(t.Context(), a.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"size":"`+size+`"}}`))); err != nil {
			t.Fatal(err)
		}
	}
	grow("11Gi")
	waitDisk(t, ns, "a", func(d *v1alpha1.VirtualDisk) string {
		for _, c := range d.Status.Conditions {
			if c.Type == v1alpha1.ConditionDiskSized && c.Status == metav1.ConditionFalse && strings.Contains(c.Message, "cannot grow from 4Gi to 11Gi") {
				return diskReady(d)
			}
		}
		return fmt.Sprintf("%+v", d.Status)
	})
	grow("5Gi")
	waitDisk(t, ns, "a", func(d *v1alpha1.VirtualDisk) string {
		if d.Status.Capacity != 5*gib {
			return fmt.Sprintf("%+v", d.Status)
		}
		return diskReady(d)
	})

	// A disk that is deleted stays while its VM has a host, and what it leaves is
	// another's.
	b0 := waitDisk(t, ns, "b", diskReady)
	if err := suite.client.Delete(t.Context(), b0); err != nil {
		t.Fatal(err)
	}
	waitDisk(t, ns, "b", func(d *v1alpha1.VirtualDisk) string {
		if d == nil || d.Status.Phase != v1alpha1.DiskDeleting || !strings.Contains(fmt.Sprint(d.Status.Conditions), "VirtualMachine b has it") {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	if all := volumes(other); len(all) != 1 {
		t.Errorf("volumes %+v, want that of b", all)
	}
	if err := suite.client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	waitDisk(t, ns, "b", diskGone)
	c := waitVM(t, ns, "c", stateIs("Running"))
	if all := volumes(other); c.Status.Placement.NodeName != other || len(all) != 1 || !strings.HasPrefix(all[0].Name, ns+".c.vd-") {
		t.Errorf("c is on %s, and there are volumes %+v", c.Status.Placement.NodeName, all)
	}

	// A VM that is placed anew comes back to its disk.
	set(t, ns, "a", func(s *v1alpha1.VirtualMachineSpec) {
		s.WhenStopped, s.PowerState = v1alpha1.SlotRelease, v1alpha1.PowerStopped
	})
	waitVM(t, ns, "a", unbound)
	set(t, ns, "a", func(s *v1alpha1.VirtualMachineSpec) { s.PowerState = v1alpha1.PowerRunning })
	if again := waitVM(t, ns, "a", stateIs("Running")); again.Status.Placement.NodeName != home {
		t.Errorf("it is on %s, and its disk on %s", again.Status.Placement.NodeName, home)
	}
}
