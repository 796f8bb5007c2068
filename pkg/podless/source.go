package podless

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// VMInformer is the part of an informer of VirtualMachines that is needed here.
type VMInformer interface {
	AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// source lists and watches projected Pods. It stands on the informer of VMs,
// which alone talks to the API server and deals with lost watches and relists;
// whatever that informer comes to know arrives here as additions, updates and
// deletions, in order. The watch it offers never breaks.
type source struct {
	// ready is closed when what a projection depends on besides its VM is known;
	// events wait for it.
	ready <-chan struct{}
	// stopped is closed when the process ends.
	stopped <-chan struct{}
	// synced is closed when the VMs listed at first have been projected.
	synced <-chan struct{}

	mu         sync.Mutex
	translator *translator
	version    uint64
	// pending are the events that the watcher has not taken yet.
	pending []watch.Event
	wake    chan struct{}
}

var (
	_ cache.ListerWatcher            = &source{}
	_ cache.ListerWatcherWithContext = &source{}
)

func newSource(ctx context.Context, vms VMInformer, priorities Priorities, ready <-chan struct{}) (*source, error) {
	s := &source{ready: ready, stopped: ctx.Done(), translator: newTranslator(priorities), wake: make(chan struct{}, 1)}
	registration, err := vms.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.see(obj) },
		UpdateFunc: func(_, obj any) { s.see(obj) },
		DeleteFunc: func(obj any) { s.forget(obj) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching VirtualMachines: %w", err)
	}
	s.synced = registration.HasSyncedChecker().Done()
	return s, nil
}

func (s *source) see(obj any) {
	if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
		s.apply(types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}, vm)
	}
}

func (s *source) forget(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		namespace, name, err := cache.SplitMetaNamespaceKey(unknown.Key)
		if err == nil {
			s.apply(types.NamespacedName{Namespace: namespace, Name: name}, nil)
		}
		return
	}
	if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
		s.apply(types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}, nil)
	}
}

func (s *source) apply(key types.NamespacedName, vm *v1alpha1.VirtualMachine) {
	select {
	case <-s.ready:
	case <-s.stopped:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.translator.apply(key, vm)
	if len(events) == 0 {
		return
	}
	s.version++
	s.pending = append(s.pending, events...)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// IsWatchListSemanticsUnSupported tells the reflector to list and then watch:
// a list in memory needs no streaming.
func (s *source) IsWatchListSemanticsUnSupported() bool { return true }

// List implements cache.ListerWatcher.
func (s *source) List(o metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), o)
}

// ListWithContext returns the Pods shown now. It waits until the VMs listed at
// first have been projected.
func (s *source) ListWithContext(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	select {
	case <-s.synced:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	list := &corev1.PodList{
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatUint(s.version, 10)},
		Items:    s.translator.all(),
	}
	return list, nil
}

// Watch implements cache.ListerWatcher.
func (s *source) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), o)
}

// WatchWithContext delivers what has changed since the last list. There is one
// watcher at a time: the reflector of the one informer that stands on this source.
func (s *source) WatchWithContext(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
	w := &sourceWatch{result: make(chan watch.Event), done: make(chan struct{})}
	go w.run(ctx, s)
	return w, nil
}

// take returns the pending events and forgets them.
func (s *source) take() []watch.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.pending
	s.pending = nil
	return events
}

type sourceWatch struct {
	result chan watch.Event
	done   chan struct{}
	once   sync.Once
}

// ResultChan implements watch.Interface.
func (w *sourceWatch) ResultChan() <-chan watch.Event { return w.result }

// Stop implements watch.Interface.
func (w *sourceWatch) Stop() { w.once.Do(func() { close(w.done) }) }

func (w *sourceWatch) run(ctx context.Context, s *source) {
	defer close(w.result)
	for {
		for _, event := range s.take() {
			select {
			case w.result <- event:
			case <-w.done:
				return
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-s.wake:
		case <-w.done:
			return
		case <-ctx.Done():
			return
		}
	}
}
