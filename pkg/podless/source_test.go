package podless

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fakeVMs is an informer of VMs whose events the test makes.
type fakeVMs struct {
	handler cache.ResourceEventHandler
	synced  chan struct{}
}

func (f *fakeVMs) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	f.handler = h
	return f, nil
}
func (f *fakeVMs) HasSynced() bool                     { return true }
func (f *fakeVMs) HasSyncedChecker() cache.DoneChecker { return f }
func (f *fakeVMs) Name() string                        { return "fake" }
func (f *fakeVMs) Done() <-chan struct{}               { return f.synced }

func newTestSource(t *testing.T) (*fakeVMs, *source) {
	t.Helper()
	vms, ready := &fakeVMs{synced: make(chan struct{})}, make(chan struct{})
	close(ready)
	s, err := newSource(t.Context(), vms, classes{}, ready)
	if err != nil {
		t.Fatal(err)
	}
	return vms, s
}

func named(name string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Name = name }
}

func TestSourceListsAfterTheVMsAreKnown(t *testing.T) {
	vms, s := newTestSource(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.ListWithContext(ctx, metav1.ListOptions{}); err == nil {
		t.Error("a list was given before the VMs were known")
	}
	close(vms.synced)
	if _, err := s.ListWithContext(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func TestSourceWatchesWhatTheListDoesNotHold(t *testing.T) {
	vms, s := newTestSource(t)
	close(vms.synced)
	vms.handler.OnAdd(vm(named("listed")), true)
	obj, err := s.ListWithContext(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := obj.(*corev1.PodList)
	if len(list.Items) != 1 || list.Items[0].Name != "vm:listed.0" {
		t.Fatalf("listed %v", list.Items)
	}
	// Before the watch begins, and after.
	vms.handler.OnAdd(vm(named("between")), false)
	w, err := s.WatchWithContext(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	vms.handler.OnUpdate(nil, vm(named("between"), placed("a")))
	// A deletion that was missed arrives with the last known state, or none.
	vms.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "ns/listed"})
	want := []string{"ADDED vm:between.0", "MODIFIED vm:between.0", "DELETED vm:listed.0"}
	var got []string
	for range want {
		select {
		case e := <-w.ResultChan():
			got = append(got, string(e.Type)+" "+e.Object.(*corev1.Pod).Name)
		case <-time.After(5 * time.Second):
			t.Fatalf("only %v arrived", got)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	select {
	case e := <-w.ResultChan():
		t.Errorf("unexpected %v", e)
	default:
	}
	w.Stop()
	if e, open := <-w.ResultChan(); open && e.Type != watch.Error {
		t.Errorf("the watch goes on after it was stopped: %v", e)
	}
}
