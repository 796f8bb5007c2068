package disklocality

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Resource is how the scheduler's queue knows VirtualDisks.
const Resource fwk.EventResource = "virtualdisks.v1alpha1.domus.dev"

// virtualDisks is Resource as informer factories know it.
var virtualDisks = schema.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "virtualdisks"}

// Factory is next, but that the scheduler's queue hears of VirtualDisks from the
// informer that Disks follow, each time after them; as fleet.Factory does for
// Hypervisors, and for its reason.
func (d *Disks) Factory(next dynamicinformer.DynamicSharedInformerFactory) dynamicinformer.DynamicSharedInformerFactory {
	return &factory{DynamicSharedInformerFactory: next, disks: d}
}

type factory struct {
	dynamicinformer.DynamicSharedInformerFactory
	disks *Disks
}

// ForResource implements dynamicinformer.DynamicSharedInformerFactory.
func (f *factory) ForResource(r schema.GroupVersionResource) informers.GenericInformer {
	if r == virtualDisks {
		return afterDisks{disks: f.disks}
	}
	return f.DynamicSharedInformerFactory.ForResource(r)
}

// afterDisks is the informer of Disks to those who only register handlers.
type afterDisks struct {
	cache.SharedIndexInformer
	disks *Disks
}

var _ informers.GenericInformer = afterDisks{}

// Informer implements informers.GenericInformer.
func (a afterDisks) Informer() cache.SharedIndexInformer { return a }

// Lister implements informers.GenericInformer. There is none.
func (a afterDisks) Lister() cache.GenericLister { return nil }

// AddEventHandler implements cache.SharedIndexInformer.
func (a afterDisks) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return a.disks.Follow(h)
}

// AddEventHandlerWithResyncPeriod implements cache.SharedIndexInformer.
func (a afterDisks) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return a.AddEventHandler(h)
}
