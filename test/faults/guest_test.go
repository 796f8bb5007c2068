package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

const (
	// realNode is the host with real guests, and hostLabel tells its kind.
	realNode  = "real-1"
	hostLabel = "demo.domus.dev/host"
	// bootTime is far above the 10 s that an emulated guest takes, since other
	// work may share the machine.
	bootTime = 3 * time.Minute
	// settleTime is how long a change may take to be seen, a host's back-off
	// before it starts a guest again included.
	settleTime = 4 * time.Minute
	// grace is how many seconds a guest gets to shut down; one that boots does
	// not hear that it should.
	grace = 5
)

// tiny is the guest's disk, shared by all guests.
var tiny = map[string]any{
	"device":    "disk",
	"driver":    map[string]any{"name": "qemu", "type": "qcow2"},
	"source":    map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.tiny.qcow2"}},
	"target":    map[string]any{"dev": "vda", "bus": "virtio"},
	"readOnly":  true,
	"shareable": true,
}

// withAgent is the disk of a guest with an agent.
var withAgent = func() map[string]any {
	disk := maps.Clone(tiny)
	disk["source"] = map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.agent.qcow2"}}
	return disk
}()

// newVM is a VM on a host of a kind: real or simulated.
func newVM(name, kind string, disks ...any) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: name},
		Spec: v1alpha1.VirtualMachineSpec{
			Resources:                     v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("192Mi")},
			NodeSelector:                  map[string]string{hostLabel: kind},
			TerminationGracePeriodSeconds: ptr.To(int64(grace)),
		},
	}
	if len(disks) > 0 {
		raw, err := json.Marshal(map[string]any{"devices": map[string]any{"disks": disks}})
		if err != nil {
			return nil, err
		}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	return vm, nil
}

// create makes a guest on the real host; disks are those beside its first.
func create(t *testing.T, name string, disks ...any) *v1alpha1.VirtualMachine {
	t.Helper()
	vm, err := newVM(name, "real", append([]any{tiny}, disks...)...)
	if err != nil {
		t.Fatal(err)
	}
	must(t, env.Create(t.Context(), vm))
	return vm
}

// get returns nil when there is no such VM.
func get(ctx context.Context, name string) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{}
	err := env.Get(ctx, client.ObjectKey{Namespace: live.Namespace, Name: name}, vm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return vm, err
}

func named(name string) *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: name}}
}

// setPower asks for a power state, and leaves the rest of the spec alone.
func setPower(ctx context.Context, name string, state v1alpha1.PowerState) error {
	return patchSpec(ctx, name, fmt.Sprintf(`{"powerState":%q}`, state))
}

// patchSpec merges JSON into the spec.
func patchSpec(ctx context.Context, name, spec string) error {
	return env.Patch(ctx, named(name), client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":%s}`, spec)))
}

// remove deletes the VM, if it is there, and waits until nothing of it is left.
func remove(t *testing.T, name string) {
	t.Helper()
	// The test's own context ends before it is cleaned up.
	ctx := context.Background()
	within(t, bootTime, "VM "+name+" is deleted", func() string {
		if err := env.Delete(ctx, named(name)); !apierrors.IsNotFound(err) {
			return fmt.Sprintf("it is still there (%v)", err)
		}
		return ""
	})
}

// within waits until holds says nothing more, and fails with what it said last.
func within(t *testing.T, timeout time.Duration, what string, holds func() string) {
	t.Helper()
	if why := await(timeout, holds); why != "" {
		t.Fatalf("waiting %s until %s: %s", timeout, what, why)
	}
}

// await is within for who goes on after a failure.
func await(timeout time.Duration, holds func() string) string {
	for deadline := time.Now().Add(timeout); ; time.Sleep(200 * time.Millisecond) {
		why := holds()
		if why == "" || time.Now().After(deadline) {
			return why
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
