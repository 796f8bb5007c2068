// Package inorder has the scheduler's queue hear of objects after those who answer
// for them.
package inorder

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Follow registers a handler that is told of each object after the one who follows.
type Follow func(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)

// Factory is next, but that handlers of resource are registered with follow. With
// a watch of its own the queue could wake a VM for an object that plugins do not
// know yet; they would turn the VM away, and nothing would wake it again.
func Factory(next dynamicinformer.DynamicSharedInformerFactory, resource schema.GroupVersionResource, follow Follow) dynamicinformer.DynamicSharedInformerFactory {
	return &factory{DynamicSharedInformerFactory: next, resource: resource, follow: follow}
}

type factory struct {
	dynamicinformer.DynamicSharedInformerFactory
	resource schema.GroupVersionResource
	follow   Follow
}

// ForResource implements dynamicinformer.DynamicSharedInformerFactory.
func (f *factory) ForResource(r schema.GroupVersionResource) informers.GenericInformer {
	if r == f.resource {
		return after{follow: f.follow}
	}
	return f.DynamicSharedInformerFactory.ForResource(r)
}

// after is an informer to those who only register handlers, as the queue does: it
// runs by itself and nothing else is asked of it.
type after struct {
	cache.SharedIndexInformer
	follow Follow
}

var _ informers.GenericInformer = after{}

// Informer implements informers.GenericInformer.
func (a after) Informer() cache.SharedIndexInformer { return a }

// Lister implements informers.GenericInformer. There is none.
func (a after) Lister() cache.GenericLister { return nil }

// AddEventHandler implements cache.SharedIndexInformer.
func (a after) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return a.follow(h)
}

// AddEventHandlerWithResyncPeriod implements cache.SharedIndexInformer.
func (a after) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return a.AddEventHandler(h)
}
