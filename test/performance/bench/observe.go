package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// observer notes when each workload was bound, as a watch sees it.
type observer struct {
	mu sync.Mutex
	// bound holds when a workload was first seen with a host.
	bound map[string]time.Time
	// want is how many shall be bound; done is closed then.
	want int
	done chan struct{}
	// leave is called for each filler that is asked to leave its host, or has
	// left; epoch is a VM's.
	leave func(name string, epoch int64)
	stop  func()
}

// observe watches the workloads of a side until ctx ends or it is stopped.
func (p *plane) observe(ctx context.Context, s side, want int, leave func(name string, epoch int64)) (*observer, error) {
	o := &observer{bound: make(map[string]time.Time, want), want: want, done: make(chan struct{}), leave: leave}
	var lw cache.ListerWatcher = cache.NewListWatchFromClient(p.clientset.CoreV1().RESTClient(), "pods", namespace, fields.Everything())
	var kind runtime.Object = &corev1.Pod{}
	if s == domus {
		kind = &lightVM{}
		in := client.InNamespace(namespace)
		lw = &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
				list := &lightVMList{}
				return list, p.light.List(ctx, list, in, &client.ListOptions{Raw: &raw})
			},
			WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
				return p.light.Watch(ctx, &lightVMList{}, in, &client.ListOptions{Raw: &raw})
			},
		}
	}
	// An API server that has all it can do drops a watch now and then.
	informer := cache.NewSharedIndexInformer(lw, kind, 0, nil)
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.see(obj, false) },
		UpdateFunc: func(_, obj any) { o.see(obj, false) },
		DeleteFunc: func(obj any) { o.see(obj, true) },
	}); err != nil {
		return nil, fmt.Errorf("watching workloads: %w", err)
	}
	ctx, o.stop = context.WithCancel(ctx)
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("listing workloads: %w", ctx.Err())
	}
	return o, nil
}

func (o *observer) see(obj any, deleted bool) {
	now := time.Now()
	switch obj := obj.(type) {
	case *corev1.Pod:
		if obj.Spec.NodeName != "" {
			o.note(obj.Name, now)
			if deleted {
				o.left(obj.Name, 0)
			}
		}
	case *lightVM:
		if obj.Status.Placement != nil {
			o.note(obj.Name, now)
			if obj.Status.Eviction != nil && obj.Status.Host == nil {
				o.left(obj.Name, obj.Status.Epoch)
			}
		}
	}
}

func (o *observer) left(name string, epoch int64) {
	if o.leave != nil && strings.HasPrefix(name, fillPrefix) {
		go o.leave(name, epoch)
	}
}

func (o *observer) note(name string, now time.Time) {
	if !strings.HasPrefix(name, workPrefix) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.bound[name]; known {
		return
	}
	o.bound[name] = now
	if len(o.bound) == o.want {
		close(o.done)
	}
}

// times returns when the workloads were bound.
func (o *observer) times() map[string]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.bound)
}

// part waits until that share of the workloads has been bound.
func (o *observer) part(ctx context.Context, share float64) error {
	for {
		if float64(len(o.times())) >= share*float64(o.want) {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for bindings: %w", ctx.Err())
		}
	}
}
