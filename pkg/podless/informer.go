package podless

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// podInformer shows real Pods and projected VMs as one. The two halves have
// resource versions of their own, so they stay two informers: one reflector
// over both could not resume its watch.
type podInformer struct {
	real, projected cache.SharedIndexInformer

	mu sync.Mutex
	// registered is the one of the handlers that were added before the informer ran.
	registered *registration
	runs       bool
}

var _ cache.SharedIndexInformer = &podInformer{}

// newRealPodInformer shows the real Pods that hold a node and have not ended.
// Real Pods that wait for a node are not ours to place, whatever schedulerName
// they give.
func newRealPodInformer(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
	selector := fields.AndSelectors(
		fields.OneTermNotEqualSelector("spec.nodeName", ""),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
	).String()
	informer := coreinformers.NewFilteredPodInformer(client, metav1.NamespaceAll, resync,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(o *metav1.ListOptions) { o.FieldSelector = selector })
	// SetTransform fails only on an informer that runs already.
	_ = informer.SetTransform(apart)
	return informer
}

func newProjectedPodInformer(s *source) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformerWithOptions(s, &corev1.Pod{}, cache.SharedIndexInformerOptions{
		ObjectDescription: "VirtualMachines projected as Pods",
		Indexers:          cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	})
}

// registration is a chain's registration with both halves.
type registration struct {
	real, projected cache.ResourceEventHandlerRegistration
	checker         cache.DoneChecker
	chain           *chain
}

func (r *registration) HasSynced() bool { return r.real.HasSynced() && r.projected.HasSynced() }

func (r *registration) HasSyncedChecker() cache.DoneChecker { return r.checker }

// bothDone is done when both of its parts are.
type bothDone struct {
	name string
	done chan struct{}
}

func newBothDone(name string, a, b cache.DoneChecker) *bothDone {
	d := &bothDone{name: name, done: make(chan struct{})}
	go func() {
		<-a.Done()
		<-b.Done()
		close(d.done)
	}()
	return d
}

func (b *bothDone) Name() string          { return b.name }
func (b *bothDone) Done() <-chan struct{} { return b.done }

// handle is one handler's part in a registration.
type handle struct {
	*registration
	link *link
}

// AddEventHandler implements cache.SharedInformer. Handlers that are added before the
// informer runs are called in that order.
func (i *podInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.runs && i.registered != nil {
		return &handle{registration: i.registered, link: i.registered.chain.add(h)}, nil
	}
	// One that comes later is to be told of what there is by then.
	added, err := i.register(h, cache.HandlerOptions{})
	if err != nil {
		return nil, err
	}
	if !i.runs {
		i.registered = added.registration
	}
	return added, nil
}

func (i *podInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(h, cache.HandlerOptions{ResyncPeriod: &resync})
}

// AddEventHandlerWithOptions implements cache.SharedInformer. Such a handler is called
// by itself.
func (i *podInformer) AddEventHandlerWithOptions(h cache.ResourceEventHandler, o cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	added, err := i.register(h, o)
	if err != nil {
		return nil, err
	}
	return added, nil
}

// register has a chain that begins with h told by both halves.
func (i *podInformer) register(h cache.ResourceEventHandler, o cache.HandlerOptions) (*handle, error) {
	c := &chain{}
	l := c.add(h)
	r, err := i.real.AddEventHandlerWithOptions(c, o)
	if err != nil {
		return nil, err
	}
	p, err := i.projected.AddEventHandlerWithOptions(c, o)
	if err != nil {
		return nil, errors.Join(err, i.real.RemoveEventHandler(r))
	}
	checker := newBothDone("pods and VirtualMachines handled", r.HasSyncedChecker(), p.HasSyncedChecker())
	return &handle{registration: &registration{real: r, projected: p, checker: checker, chain: c}, link: l}, nil
}

// RemoveEventHandler implements cache.SharedInformer.
func (i *podInformer) RemoveEventHandler(added cache.ResourceEventHandlerRegistration) error {
	h, ok := added.(*handle)
	if !ok {
		return errors.New("this handler was not registered here")
	}
	h.chain.remove(h.link)
	i.mu.Lock()
	defer i.mu.Unlock()
	if h.registration == i.registered {
		return nil // others may be told by it
	}
	return errors.Join(i.real.RemoveEventHandler(h.real), i.projected.RemoveEventHandler(h.projected))
}

func (i *podInformer) GetStore() cache.Store { return i.GetIndexer() }

func (i *podInformer) GetIndexer() cache.Indexer {
	return &podIndexer{real: i.real.GetIndexer(), projected: i.projected.GetIndexer()}
}

func (i *podInformer) AddIndexers(indexers cache.Indexers) error {
	return errors.Join(i.real.AddIndexers(indexers), i.projected.AddIndexers(indexers))
}

// GetController returns the real half's: it is the one with an API server
// behind it.
func (i *podInformer) GetController() cache.Controller { return i.real.GetController() }

func (i *podInformer) Run(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	i.RunWithContext(ctx)
}

func (i *podInformer) RunWithContext(ctx context.Context) {
	i.mu.Lock()
	i.runs = true
	i.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { i.real.RunWithContext(ctx) })
	both.Go(func() { i.projected.RunWithContext(ctx) })
	both.Wait()
}

func (i *podInformer) HasSynced() bool { return i.real.HasSynced() && i.projected.HasSynced() }

func (i *podInformer) HasSyncedChecker() cache.DoneChecker {
	return newBothDone("pods and VirtualMachines listed", i.real.HasSyncedChecker(), i.projected.HasSyncedChecker())
}

// LastSyncResourceVersion returns the real half's; the projected half's counts
// nothing that an API server knows.
func (i *podInformer) LastSyncResourceVersion() string { return i.real.LastSyncResourceVersion() }

func (i *podInformer) SetWatchErrorHandler(h cache.WatchErrorHandler) error {
	return errors.Join(i.real.SetWatchErrorHandler(h), i.projected.SetWatchErrorHandler(h))
}

func (i *podInformer) SetWatchErrorHandlerWithContext(h cache.WatchErrorHandlerWithContext) error {
	return errors.Join(i.real.SetWatchErrorHandlerWithContext(h), i.projected.SetWatchErrorHandlerWithContext(h))
}

func (i *podInformer) SetTransform(f cache.TransformFunc) error {
	return errors.Join(i.real.SetTransform(f), i.projected.SetTransform(f))
}

func (i *podInformer) IsStopped() bool { return i.real.IsStopped() && i.projected.IsStopped() }
