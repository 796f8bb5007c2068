package power

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestSetChangesOnlyThePowerState(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm"}}
	vm.Spec.PowerState = v1alpha1.PowerRunning
	vm.Spec.Resources.CPU = 3
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(vm).Build()
	stop := verb{state: v1alpha1.PowerStopped, already: "already", done: "done"}
	key := types.NamespacedName{Namespace: "ns", Name: "vm"}
	for _, want := range []string{"done", "already"} {
		said, err := set(t.Context(), c, key, stop)
		if err != nil || said != want {
			t.Errorf("said %q, %v; want %q", said, err, want)
		}
	}
	live := &v1alpha1.VirtualMachine{}
	if err := c.Get(t.Context(), key, live); err != nil {
		t.Fatal(err)
	}
	if live.Spec.PowerState != v1alpha1.PowerStopped || live.Spec.Resources.CPU != 3 {
		t.Errorf("spec is %+v", live.Spec)
	}
	_, err := set(t.Context(), c, types.NamespacedName{Namespace: "ns", Name: "none"}, stop)
	if err == nil || !strings.Contains(err.Error(), "kubectl get vm") {
		t.Errorf("a VM that is not there: %v", err)
	}
}
