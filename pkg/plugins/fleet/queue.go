package fleet

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hypervisors is Resource as informer factories know it.
var hypervisors = schema.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "hypervisors"}

// Factory is next, but that the scheduler's queue hears of Hypervisors from the
// informer that the Fleet follows, each time after the Fleet. With a watch of
// its own the queue could wake a VM for a host that plugins do not know yet;
// they would turn the VM away, and nothing would wake it again.
func (f *Fleet) Factory(next dynamicinformer.DynamicSharedInformerFactory) dynamicinformer.DynamicSharedInformerFactory {
	return &factory{DynamicSharedInformerFactory: next, fleet: f}
}

type factory struct {
	dynamicinformer.DynamicSharedInformerFactory
	fleet *Fleet
}

// ForResource implements dynamicinformer.DynamicSharedInformerFactory.
func (f *factory) ForResource(r schema.GroupVersionResource) informers.GenericInformer {
	if r == hypervisors {
		return afterFleet{fleet: f.fleet}
	}
	return f.DynamicSharedInformerFactory.ForResource(r)
}

// afterFleet is the Fleet's informer to those who only register handlers, as
// the queue does: it runs by itself and nothing else is asked of it.
type afterFleet struct {
	cache.SharedIndexInformer
	fleet *Fleet
}

var _ informers.GenericInformer = afterFleet{}

// Informer implements informers.GenericInformer.
func (a afterFleet) Informer() cache.SharedIndexInformer { return a }

// Lister implements informers.GenericInformer. There is none.
func (a afterFleet) Lister() cache.GenericLister { return nil }

// AddEventHandler implements cache.SharedIndexInformer.
func (a afterFleet) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return a.fleet.Follow(h)
}

// AddEventHandlerWithResyncPeriod implements cache.SharedIndexInformer.
func (a afterFleet) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return a.AddEventHandler(h)
}

// second calls one handler after another.
type second struct{ first, then cache.ResourceEventHandler }

func (s second) OnAdd(obj any, initial bool) {
	s.first.OnAdd(obj, initial)
	s.then.OnAdd(obj, initial)
}

func (s second) OnUpdate(oldObj, newObj any) {
	s.first.OnUpdate(oldObj, newObj)
	s.then.OnUpdate(oldObj, newObj)
}

func (s second) OnDelete(obj any) {
	s.first.OnDelete(obj)
	s.then.OnDelete(obj)
}
