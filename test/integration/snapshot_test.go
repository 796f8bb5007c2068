package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func newSnapshot(ns, of, name string) *v1alpha1.VirtualMachineSnapshot {
	s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	s.Spec.VirtualMachineName = of
	return s
}

func waitSnapshot(t *testing.T, ns, name string, is func(*v1alpha1.VirtualMachineSnapshot) string) *v1alpha1.VirtualMachineSnapshot {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		s := &v1alpha1.VirtualMachineSnapshot{}
		err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, s)
		if apierrors.IsNotFound(err) {
			s = nil
		} else if err != nil {
			t.Fatal(err)
		}
		if last = is(s); last == "" {
			return s
		}
	}
	t.Fatalf("VirtualMachineSnapshot %s/%s: %s", ns, name, last)
	return nil
}

func snapshotIs(phase v1alpha1.SnapshotPhase, reason, text string) func(*v1alpha1.VirtualMachineSnapshot) string {
	return func(s *v1alpha1.VirtualMachineSnapshot) string {
		if s == nil {
			return "it is gone"
		}
		c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionSnapshotReady)
		if s.Status.Phase != phase || c == nil || c.Reason != reason || !strings.Contains(c.Message, text) {
			return fmt.Sprintf("is %s, %+v; want %s %s with %q", s.Status.Phase, s.Status.Conditions, phase, reason, text)
		}
		return ""
	}
}

var snapshotReady = snapshotIs(v1alpha1.SnapshotReady, v1alpha1.ReasonSnapshotReady, "")

func snapshotGone(s *v1alpha1.VirtualMachineSnapshot) string {
	if s != nil {
		return fmt.Sprintf("still there: %+v", s.Status)
	}
	return ""
}

// Snapshots on a host on which no guest runs, from admission to their end.
func TestSnapshots(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	h := newEmbeddedHost(t, ns, ns+"-snap-host", libvirt.Pool{Name: "default", Type: "dir", Capacity: 100 * gib})
	t.Cleanup(func() {
		ctx := context.Background()
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachineSnapshot{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualDisk{}, client.InNamespace(ns))
	})
	make := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	waitWebhook(t)
	make(newDisk(ns, "a", 1))
	make(newDisk(ns, "b", 1))
	make(newVM(ns, "vm", 1, 1, withDisks("a", "b")))
	vm := waitVM(t, ns, "vm", stateIs("Running"))
	held := func() []string {
		t.Helper()
		var out []string
		for _, name := range []string{"a", "b"} {
			d := waitDisk(t, ns, name, diskReady)
			names, err := h.libvirt.VolumeSnapshots(t.Context(), "default", d.Status.VolumeName)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(names)
			if out != nil && !slices.Equal(out, names) {
				t.Errorf("the disks differ: %v, %v", out, names)
			}
			out = names
		}
		return out
	}

	// What cannot be is refused at once.
	raw := newDisk(ns, "raw", 1)
	raw.Spec.Format = v1alpha1.DiskRaw
	make(raw)
	make(newVM(ns, "with-raw", 1, 1, withDisks("raw")))
	make(newVM(ns, "diskless", 1, 1))
	make(newDisk(ns, "homeless", 1))
	make(newVM(ns, "homeless", 64, 1, withDisks("homeless"))) // larger than the host
	waitVM(t, ns, "with-raw", stateIs("Running"))
	waitVM(t, ns, "diskless", stateIs("Running"))
	for name, test := range map[string]struct {
		of           string
		change       func(*v1alpha1.VirtualMachineSnapshot)
		reason, text string
	}{
		"of-nobody":   {"nobody", nil, v1alpha1.ReasonVMNotFound, "there is no VirtualMachine nobody in namespace"},
		"of-diskless": {"diskless", nil, v1alpha1.ReasonNoDisks, "has no VirtualDisks"},
		"of-raw":      {"with-raw", nil, v1alpha1.ReasonUnsupportedDisk, "VirtualDisk raw is raw"},
		"external":    {"vm", func(s *v1alpha1.VirtualMachineSnapshot) { s.Spec.Memory = v1alpha1.SnapshotMemoryExternal }, v1alpha1.ReasonUnsupportedMemory, "spec.memory Internal"},
		"memory":      {"vm", func(s *v1alpha1.VirtualMachineSnapshot) { s.Spec.Memory = v1alpha1.SnapshotMemoryInternal }, v1alpha1.ReasonUnsupportedMemory, "on a simulated host no guest runs"},
		"strict":      {"vm", func(s *v1alpha1.VirtualMachineSnapshot) { s.Spec.Quiesce = v1alpha1.QuiesceRequire }, v1alpha1.ReasonNotQuiesced, "spec.quiesce IfPossible"},
	} {
		s := newSnapshot(ns, test.of, name)
		if test.change != nil {
			test.change(s)
		}
		make(s)
		waitSnapshot(t, ns, name, snapshotIs(v1alpha1.SnapshotFailed, test.reason, test.text))
		drop(s)
		waitSnapshot(t, ns, name, snapshotGone)
	}
	make(newSnapshot(ns, "homeless", "of-homeless"))
	waitSnapshot(t, ns, "of-homeless", snapshotIs(v1alpha1.SnapshotPending, v1alpha1.ReasonSnapshotWaits, "has no host yet"))
	drop(newSnapshot(ns, "homeless", "of-homeless"))
	if names := held(); len(names) != 0 {
		t.Errorf("what was refused is in the disks: %v", names)
	}

	// A tree.
	make(newSnapshot(ns, "vm", "one"))
	one := waitSnapshot(t, ns, "one", snapshotReady)
	if s := one.Status; !s.Current || s.ParentName != "" || s.NodeName != h.name || s.VirtualMachineUID != vm.UID || len(s.Disks) != 2 || s.CreatedAt == nil {
		t.Errorf("status %+v", s)
	}
	make(newSnapshot(ns, "vm", "two"))
	two := waitSnapshot(t, ns, "two", snapshotReady)
	if two.Status.ParentName != "one" {
		t.Errorf("two is based on %q", two.Status.ParentName)
	}
	waitSnapshot(t, ns, "one", func(s *v1alpha1.VirtualMachineSnapshot) string {
		if s.Status.Current {
			return "one is current still"
		}
		return ""
	})
	want := []string{one.Tag(), two.Tag()}
	slices.Sort(want)
	if got := held(); !slices.Equal(got, want) {
		t.Errorf("the disks have %v, want %v", got, want)
	}

	// An executor writes its own host's, and leaves what is the scheduler's.
	for name, test := range map[string]struct{ host, patch, want string }{
		"another host's": {"other", `{"status":{"phase":"Failed"}}`, "given to its own host only"},
		"another host":   {h.name, `{"status":{"nodeName":"other"}}`, "are vm-scheduler's to write"},
	} {
		cfg, err := suite.plane.as("domus:executor:"+test.host, "domus:executors")
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Status().Patch(t.Context(), one.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(test.patch)))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}

	// Restores: what runs is not lost unasked; two that are asked at once are done
	// one after the other.
	restore := func(name, snapshot string, discard bool) *v1alpha1.VirtualMachineOperation {
		return newOperation(ns, name, v1alpha1.OperationRestore, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.Restore = &v1alpha1.Restore{SnapshotName: snapshot, DiscardRunning: discard}
		})
	}
	make(restore("timid", "one", false))
	waitOperation(t, ns, "timid", over(v1alpha1.OperationFailed, v1alpha1.ReasonWrongState, "restore.discardRunning"))
	make(restore("none", "none", true))
	waitOperation(t, ns, "none", over(v1alpha1.OperationFailed, v1alpha1.ReasonSnapshotUnusable, "there is no VirtualMachineSnapshot none"))
	make(restore("first", "one", true))
	make(restore("second", "two", true))
	first := waitOperation(t, ns, "first", succeeded)
	second := waitOperation(t, ns, "second", succeeded)
	waitVM(t, ns, "vm", stateIs("Running"))
	one, two = waitSnapshot(t, ns, "one", snapshotReady), waitSnapshot(t, ns, "two", snapshotReady)
	if one.Status.RestoredBy != first.UID || two.Status.RestoredBy != second.UID || one.Status.Current == two.Status.Current {
		t.Errorf("one: %+v\ntwo: %+v", one.Status, two.Status)
	}

	// A VM that is being deleted, and what it leaves.
	drop(one)
	waitSnapshot(t, ns, "one", snapshotGone)
	if s := waitSnapshot(t, ns, "two", snapshotReady); s.Status.ParentName != "" {
		t.Errorf("two is based on %q, which is gone", s.Status.ParentName)
	}
	if got := held(); !slices.Equal(got, []string{two.Tag()}) {
		t.Errorf("the disks have %v, want %s", got, two.Tag())
	}
	held0 := vm.DeepCopy()
	get(t, client.ObjectKeyFromObject(vm), held0)
	held0.Finalizers = append(held0.Finalizers, "test.domus.dev/hold")
	if err := suite.client.Update(t.Context(), held0); err != nil {
		t.Fatal(err)
	}
	drop(vm)
	make(newSnapshot(ns, "vm", "late"))
	waitSnapshot(t, ns, "late", snapshotIs(v1alpha1.SnapshotFailed, v1alpha1.ReasonVMDeleting, "is being deleted"))
	get(t, client.ObjectKeyFromObject(vm), held0)
	held0.Finalizers = slices.DeleteFunc(held0.Finalizers, func(f string) bool { return f == "test.domus.dev/hold" })
	if err := suite.client.Update(t.Context(), held0); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	waitSnapshot(t, ns, "two", snapshotReady)
	drop(newDisk(ns, "a", 1))
	waitDisk(t, ns, "a", func(d *v1alpha1.VirtualDisk) string {
		if d == nil || !strings.Contains(fmt.Sprint(d.Status.Conditions), "VirtualMachineSnapshot two is inside it") {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	drop(two)
	waitSnapshot(t, ns, "two", snapshotGone)
	waitDisk(t, ns, "a", diskGone)
}
