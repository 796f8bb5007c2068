package fleet

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestHostsOfOneSortShareTheirKindsOfGuest(t *testing.T) {
	share := Share()
	seen := func(model string) *v1alpha1.Hypervisor {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "vm-executor"}}}}
		hv.Status.DomainTypes = []v1alpha1.DomainType{{Type: "kvm", Arch: "x86_64", CPUModels: []string{model}}}
		if _, err := share(hv); err != nil {
			t.Fatal(err)
		}
		want := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		want.Status.DomainTypes = []v1alpha1.DomainType{{Type: "kvm", Arch: "x86_64", CPUModels: []string{model}}}
		if diff := cmp.Diff(want, hv); diff != "" {
			t.Fatalf("Hypervisor (-want +got):\n%s", diff)
		}
		return hv
	}
	list := func(hv *v1alpha1.Hypervisor) *v1alpha1.DomainType { return &hv.Status.DomainTypes[0] }
	first, other := seen("EPYC"), seen("Haswell")
	if list(seen("EPYC")) != list(first) || list(seen("Haswell")) != list(other) {
		t.Error("hosts of one sort do not share")
	}
	// Sorts of hosts that are long gone are not kept for ever.
	for i := range maxShared {
		seen(fmt.Sprint(i))
	}
	if list(seen("EPYC")) == list(first) {
		t.Error("the first list is still held")
	}
}
