package integration

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// describes writes what a host's executor says of it in its Hypervisor: that it
// offers r, and what guests can have there.
func describes(t *testing.T, host string, r capacity.Resources, kind v1alpha1.DomainType) {
	t.Helper()
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: host}}
	if suite.client.Get(t.Context(), types.NamespacedName{Name: host}, hv) != nil {
		create(t, hv)
	}
	hv.Status.Allocatable = r.Host()
	hv.Status.DomainTypes = []v1alpha1.DomainType{kind}
	if err := suite.client.Status().Update(t.Context(), hv); err != nil {
		t.Fatal(err)
	}
}

func withCPUModel(model string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"cpu":{"mode":"custom","model":{"value":"` + model + `"}}}`)}
	}
}

func TestCPUModel(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	describes(t, names[0], mid, v1alpha1.DomainType{Type: "kvm", Arch: "x86_64", CPUModels: []string{"EPYC", "qemu64"}})
	describes(t, names[1], mid, v1alpha1.DomainType{Type: "kvm", Arch: "x86_64", CPUModels: []string{"Haswell", "qemu64"}})
	create(t, newVM(ns, "amd", 1, 1, withCPUModel("EPYC")))
	create(t, newVM(ns, "intel", 1, 1, withCPUModel("Haswell")))
	waitVM(t, ns, "amd", boundTo(names[0]))
	waitVM(t, ns, "intel", boundTo(names[1]))

	// What there is instead is said, and a VM that is content with it placed.
	create(t, newVM(ns, "edited", 1, 1, withCPUModel("EPYC-Rome")))
	create(t, newVM(ns, "patient", 1, 1, withCPUModel("EPYC-Rome")))
	waitVM(t, ns, "patient", waiting("Unschedulable", "2 hosts: have no CPU model EPYC-Rome"))
	waitVM(t, ns, "patient", waiting("Unschedulable", "no host that it may use has CPU model EPYC-Rome; there are: EPYC, qemu64, Haswell"))
	vm := waitVM(t, ns, "edited", waiting("Unschedulable", "no host that it may use has CPU model EPYC-Rome"))
	before := vm.DeepCopy()
	withCPUModel("EPYC")(vm)
	if err := suite.client.Patch(t.Context(), vm, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	waitVM(t, ns, "edited", boundTo(names[0]))

	// So is one that waits for a host to have it.
	stays(t, ns, "patient", unbound)
	describes(t, names[1], mid, v1alpha1.DomainType{Type: "kvm", Arch: "x86_64", CPUModels: []string{"EPYC-Rome", "qemu64"}})
	waitVM(t, ns, "patient", boundTo(names[1]))
}
