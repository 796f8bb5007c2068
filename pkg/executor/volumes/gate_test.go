package volumes

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

// What a guest's start waits for.
func TestGate(t *testing.T) {
	ctx := context.Background()
	h := newHost(t, t.TempDir(), 100*gib)
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name, vm.UID = "ns", "vm", "vm-uid"
	claimed := func(uid types.UID) {
		d := h.get("data")
		d.Status.ClaimedBy = &v1alpha1.DiskClaim{Name: "vm", UID: uid}
		if err := h.api.Status().Update(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	gate := func() Gate {
		t.Helper()
		g, err := h.keeper.Gate(ctx, vm)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	waits := func(want string) {
		t.Helper()
		if g := gate(); !strings.Contains(g.Waits, want) || want == "" && g.Waits != "" || len(g.Elsewhere) > 0 {
			t.Errorf("waits for %q, want %q; elsewhere are %v", g.Waits, want, g.Elsewhere)
		}
	}
	if g := gate(); g.Waits != "" || g.Volumes != nil {
		t.Errorf("a VM without disks: %+v", g)
	}
	vm.Spec.Disks = []v1alpha1.VirtualMachineDisk{{Name: "d", DiskName: "data"}}
	waits("there is no VirtualDisk data: create it")
	h.create("data", gib)
	if g := gate(); !cmp.Equal(g.Elsewhere, []string{"data"}) {
		t.Errorf("a disk that nobody claims: %+v", g)
	}
	claimed("another")
	if g := gate(); !cmp.Equal(g.Elsewhere, []string{"data"}) {
		t.Errorf("a disk that another VM claims: %+v", g)
	}
	claimed(vm.UID)
	waits("VirtualDisk data is not ready: its host has not made it yet")
	h.settle()
	waits("")
	d := h.get("data")
	want := map[string]convert.Volume{"data": {Pool: "default", Name: d.VolumeName(), Format: v1alpha1.DiskQCOW2}}
	if diff := cmp.Diff(want, gate().Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	h.users["data"] = []User{{VM: "VirtualMachine vm", DomainUUID: vm.DomainUUID(), Saved: true}}
	waits("") // its own
	h.users["data"] = []User{{VM: "VirtualMachine other", DomainUUID: "x", Running: true}}
	waits("VirtualMachine other still has VirtualDisk data")
	h.users["data"] = nil
	h.keeper.copying(d, 1)
	waits("VirtualDisk data is being copied")
	h.keeper.copying(d, -1)
	h.delete("data")
	waits("VirtualDisk data is being deleted")
	h.settle()
	waits("there is no VirtualDisk data")
}

// A copy that the pool has no space for is undone, said, and made when there is
// some.
func TestAFullPoolUndoesACopy(t *testing.T) {
	ctx := context.Background()
	h := newHost(t, t.TempDir(), 10*gib)
	h.create("source", gib)
	h.settle()
	h.create("copy", gib, copyOf("source"))
	full := true
	h.storage.fault = func(what string) (error, error) {
		if what == "copy" && full {
			// What libvirt leaves of it is removed, too.
			d := h.get("copy")
			_ = h.storage.Storage.CreateVolume(ctx, "default", libvirt.NewVolume{Name: d.VolumeName(), Format: "qcow2", Capacity: gib})
			return &libvirt.Error{Doing: "copying", Message: "No space left on device"}, nil
		}
		return nil, nil
	}
	h.turns()
	d := h.get("copy")
	if Ready(d) || d.Status.Phase != v1alpha1.DiskPending || !strings.Contains(why(d), "No space left on device") {
		t.Errorf("status %+v", d.Status)
	}
	if all := h.volumes(); len(all) != 1 {
		t.Errorf("left are %+v", all)
	}
	full = false
	h.clock.Step(2 * lastBackoff)
	h.turns()
	if d := h.get("copy"); !Ready(d) {
		t.Errorf("status %+v", d.Status)
	}
}

// A volume that disappears is said to be lost, and not made anew; put back, it is
// the disk's again. Status is written once for each of that.
func TestALostVolume(t *testing.T) {
	ctx := context.Background()
	h := newHost(t, t.TempDir(), 10*gib)
	h.create("data", gib)
	h.settle()
	d := h.get("data")
	if err := h.storage.Storage.DeleteVolume(ctx, "default", d.VolumeName()); err != nil {
		t.Fatal(err)
	}
	h.settle()
	lost := h.get("data")
	if Ready(lost) || lost.Status.Conditions[0].Reason != v1alpha1.ReasonVolumeLost || len(h.volumes()) != 0 {
		t.Errorf("status %+v", lost.Status)
	}
	h.settle()
	if again := h.get("data"); again.ResourceVersion != lost.ResourceVersion {
		t.Error("the same was written again")
	}
	if err := h.storage.Storage.CreateVolume(ctx, "default", libvirt.NewVolume{Name: d.VolumeName(), Format: "qcow2", Capacity: gib}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if !Ready(h.get("data")) {
		t.Errorf("status %+v", h.get("data").Status)
	}
	for _, key := range h.changed {
		if key.Name != "data" {
			t.Errorf("%s is said to have changed", key)
		}
	}
}

// What is left of objects that were torn out of the API server is removed, if it
// is marked as ours.
func TestLeftovers(t *testing.T) {
	ctx := context.Background()
	h := newHost(t, t.TempDir(), 10*gib)
	put := func(name string) {
		t.Helper()
		if err := h.storage.Storage.CreateVolume(ctx, "default", libvirt.NewVolume{Name: name, Format: "raw", Capacity: mib}); err != nil {
			t.Fatal(err)
		}
	}
	const gone, whole, theirs = "ns.gone.vd-0123456789ab", "ns.whole.vd-0123456789ab", "ns.theirs.vd-0123456789ab"
	for _, name := range []string{gone, gone + MarkSuffix("cluster", node), whole, theirs, theirs + MarkSuffix("another", node), "foreign" + MarkSuffix("cluster", node)} {
		put(name)
	}
	h.settle()
	var got []string
	for _, v := range h.volumes() {
		got = append(got, v.Name)
	}
	want := []string{"foreign" + MarkSuffix("cluster", node), theirs, theirs + MarkSuffix("another", node), whole}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
