package fleet

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/inorder"
)

// hypervisors is Resource as informer factories know it.
var hypervisors = schema.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "hypervisors"}

// Factory is next, but that the scheduler's queue hears of Hypervisors from the
// informer that the Fleet follows, each time after the Fleet.
func (f *Fleet) Factory(next dynamicinformer.DynamicSharedInformerFactory) dynamicinformer.DynamicSharedInformerFactory {
	return inorder.Factory(next, hypervisors, f.Follow)
}
