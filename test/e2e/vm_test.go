package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// namespace holds the tests' VMs.
const namespace = live.Namespace

// domain is a guest's disk, in the way a user writes it.
var domain = map[string]any{
	"devices": map[string]any{
		"disks": []any{map[string]any{
			"device":    "disk",
			"driver":    map[string]any{"name": "qemu", "type": "qcow2"},
			"source":    map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.tiny.qcow2"}},
			"target":    map[string]any{"dev": "vda", "bus": "virtio"},
			"readOnly":  true,
			"shareable": true,
		}},
	},
}

// newVM is a small VM for one kind of host: real or simulated.
func newVM(name, host string) *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.VirtualMachineSpec{
			Resources:    v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("256Mi")},
			NodeSelector: map[string]string{"demo.domus.dev/host": host},
		},
	}
}

// newGuest is a VM that boots the guest image on the real host.
func newGuest(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	raw, err := json.Marshal(domain)
	if err != nil {
		t.Fatal(err)
	}
	vm := newVM(name, "real")
	vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	return vm
}

// create makes the VM, and the namespace when it is not there.
func create(t *testing.T, vm *v1alpha1.VirtualMachine) {
	t.Helper()
	ensureNamespace(t, vm.Namespace)
	if err := env.Create(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
}

func ensureNamespace(t *testing.T, name string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := env.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// remove deletes the VM, if it is there, and waits until nothing of it is left.
func remove(t *testing.T, name string) {
	t.Helper()
	// The test's own context ends before it is cleaned up.
	ctx := context.Background()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for deadline := time.Now().Add(bootTime); ; time.Sleep(100 * time.Millisecond) {
		err := env.Delete(ctx, vm)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("VM %s is not gone after %s: %v", name, bootTime, err)
		}
	}
}

// get returns the VM as it is now, for use with Eventually.
func get(t *testing.T, name string) func() (*v1alpha1.VirtualMachine, error) {
	return func() (*v1alpha1.VirtualMachine, error) {
		vm := &v1alpha1.VirtualMachine{}
		err := env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, vm)
		return vm, err
	}
}

// setPower asks for a power state, and leaves the rest of the spec alone.
func setPower(t *testing.T, name string, state v1alpha1.PowerState) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"powerState":"`+string(state)+`"}}`))
	if err := env.Patch(t.Context(), vm, patch); err != nil {
		t.Fatal(err)
	}
}

// phase and node read the VM's status, for matchers.
func phase(vm *v1alpha1.VirtualMachine) v1alpha1.Phase { return vm.Status.Phase }

func node(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Placement == nil {
		return ""
	}
	return vm.Status.Placement.NodeName
}
