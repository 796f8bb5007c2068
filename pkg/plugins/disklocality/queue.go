package disklocality

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/inorder"
)

// Resource is how the scheduler's queue knows VirtualDisks.
const Resource fwk.EventResource = "virtualdisks.v1alpha1.domus.dev"

// virtualDisks is Resource as informer factories know it.
var virtualDisks = schema.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "virtualdisks"}

// Factory is next, but that the scheduler's queue hears of VirtualDisks from the
// informer that Disks follow, each time after them.
func (d *Disks) Factory(next dynamicinformer.DynamicSharedInformerFactory) dynamicinformer.DynamicSharedInformerFactory {
	return inorder.Factory(next, virtualDisks, d.Follow)
}
