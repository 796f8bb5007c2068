package podless

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

// heard is what handlers were told, in that order.
type heard struct {
	mu    sync.Mutex
	words []string
}

func (t *heard) handler(name string, takes time.Duration) cache.ResourceEventHandler {
	say := func(what string, obj any) {
		time.Sleep(takes)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.words = append(t.words, fmt.Sprintf("%s %s %s", name, what, obj.(*corev1.Pod).Name))
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { say("added", obj) }, UpdateFunc: func(_, obj any) { say("updated", obj) }, DeleteFunc: func(obj any) { say("deleted", obj) },
	}
}

func (t *heard) after(tb testing.TB, n int) []string {
	tb.Helper()
	var words []string
	if err := wait.PollUntilContextTimeout(tb.Context(), time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		words = append([]string(nil), t.words...)
		return len(words) >= n, nil
	}); err != nil {
		tb.Fatalf("told %q, want %d: %v", words, n, err)
	}
	return words
}

func TestHandlersAreToldInTheOrderInWhichTheyWereAdded(t *testing.T) {
	vms, s := newTestSource(t)
	close(vms.synced)
	client := fake.NewClientset()
	i := &podInformer{real: newRealPodInformer(client, 0), projected: newProjectedPodInformer(s)}
	said := &heard{}
	var added []cache.ResourceEventHandlerRegistration
	add := func(name string, takes time.Duration) {
		t.Helper()
		r, err := i.AddEventHandler(said.handler(name, takes))
		if err != nil {
			t.Fatal(err)
		}
		added = append(added, r)
	}
	// The first one takes longest: told by a goroutine of its own it would be last.
	add("first", 5*time.Millisecond)
	add("second", 0)
	add("removed", 0)
	if err := i.RemoveEventHandler(added[2]); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(done); i.RunWithContext(ctx) }()
	defer func() { cancel(); <-done }()
	if !cache.WaitForCacheSync(ctx.Done(), added[0].HasSynced, added[1].HasSynced) {
		t.Fatal("it does not synchronize")
	}

	web := vm(named("web"))
	vms.handler.OnAdd(web, false)
	vms.handler.OnDelete(web)
	pod := said.after(t, 4)
	name := pod[0][len("first added "):]
	if diff := cmp.Diff([]string{"first added " + name, "second added " + name, "first deleted " + name, "second deleted " + name}, pod); diff != "" {
		t.Error(diff)
	}
	real := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "real"}, Spec: corev1.PodSpec{NodeName: "host"}}
	if _, err := client.CoreV1().Pods("ns").Create(ctx, real, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first added real", "second added real"}, said.after(t, 6)[4:]); diff != "" {
		t.Error(diff)
	}

	// One that comes later is told of what there is.
	add("late", 0)
	if diff := cmp.Diff([]string{"late added real"}, said.after(t, 7)[6:]); diff != "" {
		t.Error(diff)
	}
	if err := i.RemoveEventHandler(added[3]); err != nil {
		t.Error(err)
	}
	if err := i.RemoveEventHandler(nil); err == nil {
		t.Error("what was never registered is removed")
	}
}
