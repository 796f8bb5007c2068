package fleet

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ReadHypervisor reads what the scheduler queue's own watch delivers: it knows
// no types.
func ReadHypervisor(obj any) (*v1alpha1.Hypervisor, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("expected a Hypervisor that changed, got %T", obj)
	}
	hv := &v1alpha1.Hypervisor{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, hv); err != nil {
		return nil, fmt.Errorf("reading Hypervisor %s: %w", u.GetName(), err)
	}
	return hv, nil
}
