package volumes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// errDied is how a process ends in these tests: nothing that it would have done next
// is done.
var errDied = errors.New("the process has died")

// faulty is storage in which the process dies before or after a change, when fault
// says so. A copy of which it dies goes on without it, and is broken.
type faulty struct {
	libvirt.Storage
	fault func(what string) (before, after error)
	mu    sync.Mutex
	// written are the volumes that a guest has written, by name.
	written map[string]bool
}

func (f *faulty) change(what, name string, fn func() error) error {
	before, after := f.fault(what)
	if before != nil {
		return before
	}
	if err := fn(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if what == "delete" {
		delete(f.written, name)
	}
	return after
}

func (f *faulty) CreateVolume(ctx context.Context, pool string, v libvirt.NewVolume) error {
	return f.change("create", v.Name, func() error { return f.Storage.CreateVolume(ctx, pool, v) })
}

func (f *faulty) CopyVolume(ctx context.Context, pool string, v libvirt.NewVolume, fromPool, from string) error {
	return f.change("copy", v.Name, func() error { return f.Storage.CopyVolume(ctx, pool, v, fromPool, from) })
}

func (f *faulty) ResizeVolume(ctx context.Context, pool, name string, capacity int64) error {
	return f.change("resize", name, func() error { return f.Storage.ResizeVolume(ctx, pool, name, capacity) })
}

func (f *faulty) DeleteVolume(ctx context.Context, pool, name string) error {
	return f.change("delete", name, func() error { return f.Storage.DeleteVolume(ctx, pool, name) })
}

// host is a keeper with all that is around it.
type host struct {
	t       rapid.TB
	api     client.WithWatch
	storage *faulty
	clock   *clocktesting.FakeClock
	keeper  *Keeper
	users   map[string][]User
	fault   func(what string) (before, after error)
	changed []types.NamespacedName
	said    *events.FakeRecorder
}

func newHost(t rapid.TB, dir string, capacity int64) *host {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	storage, err := libvirt.SimulateStorage(filepath.Join(dir, fmt.Sprint(rand.Int64())), libvirt.Pool{Name: "default", Type: "dir", Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, clock: clocktesting.NewFakeClock(now), users: map[string][]User{}, fault: func(string) (error, error) { return nil, nil }}
	h.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VirtualDisk{}).Build()
	h.storage = &faulty{Storage: storage, written: map[string]bool{}, fault: func(what string) (error, error) { return h.fault(what) }}
	h.restart()
	return h
}

// restart replaces the keeper by one that remembers nothing.
func (h *host) restart() {
	write := func(what string, fn func() error) error {
		before, after := h.fault(what)
		if before != nil {
			return before
		}
		if err := fn(); err != nil {
			return err
		}
		return after
	}
	live := interceptor.NewClient(h.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write("patch", func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write("status", func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	h.said = events.NewFakeRecorder(1000)
	h.keeper = New(Options{
		Node: node, Storage: h.storage, Live: live, Disks: h, Guests: h, Recorder: h.said, Clock: h.clock,
		Changed: func(key types.NamespacedName) { h.changed = append(h.changed, key) }, PoolsChanged: func() {},
	})
	h.keeper.Join("cluster")
}

// Disk implements Disks.
func (h *host) Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{}
	if h.api.Get(ctx, key, d) != nil || d.Status.NodeName != node {
		return nil
	}
	return d
}

// Disks implements Disks.
func (h *host) Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool) {
	list := &v1alpha1.VirtualDiskList{}
	if err := h.api.List(ctx, list); err != nil {
		h.t.Fatal(err)
	}
	var out []*v1alpha1.VirtualDisk
	for i := range list.Items {
		if list.Items[i].Status.NodeName == node {
			out = append(out, &list.Items[i])
		}
	}
	return out, true
}

// Users implements Guests.
func (h *host) Users(_ context.Context, d *v1alpha1.VirtualDisk) []User { return h.users[d.Name] }

// create makes an object whose home is here.
func (h *host) create(name string, size int64, changes ...change) {
	ctx := context.Background()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Int64N(1<<47)))}}
	d.Spec.Size, d.Spec.PoolName = resource.NewQuantity(size, resource.BinarySI), "default"
	for _, f := range changes {
		f(d)
	}
	if err := h.api.Create(ctx, d); err != nil {
		h.t.Fatal(err)
	}
	d.Status.NodeName, d.Status.PoolName, d.Status.Phase = node, "default", v1alpha1.DiskPending
	if err := h.api.Status().Update(ctx, d); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) get(name string) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{}
	err := h.api.Get(context.Background(), types.NamespacedName{Namespace: "ns", Name: name}, d)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *host) delete(name string) {
	if d := h.get(name); d != nil {
		if err := h.api.Delete(context.Background(), d); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) resize(name string, size int64) {
	if d := h.get(name); d != nil && d.DeletionTimestamp == nil {
		d.Spec.Size = resource.NewQuantity(size, resource.BinarySI)
		if err := h.api.Update(context.Background(), d); err != nil {
			h.t.Fatal(err)
		}
	}
}

// turns gives every disk one turn; the process may die in one.
func (h *host) turns() (dead bool) {
	ctx := context.Background()
	if err := h.keeper.LookAtPools(ctx); err != nil {
		h.t.Fatal(err)
	}
	if err := h.keeper.Sweep(ctx); errors.Is(err, errDied) {
		return true
	} else if err != nil {
		h.t.Fatal(err)
	}
	disks, _ := h.Disks(ctx)
	for _, d := range disks {
		_, err := h.keeper.Turn(ctx, client.ObjectKeyFromObject(d))
		if errors.Is(err, errDied) {
			return true
		}
		if err != nil {
			h.t.Fatalf("turn of %s: %v", d.Name, err)
		}
	}
	return false
}

// settle gives turns until nothing changes, without faults.
func (h *host) settle() {
	h.fault = func(string) (error, error) { return nil, nil }
	for range 4 {
		h.turns()
		h.clock.Step(2 * lastBackoff)
	}
}

func (h *host) volumes() []libvirt.Volume {
	all, err := h.storage.Volumes(context.Background(), "default")
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// Whatever the process dies of and wherever, volumes on the host and objects are
// the same afterwards, and what a guest has written is never lost.
func TestVolumesAreNeitherLostNorLeaked(t *testing.T) {
	dir := t.TempDir()
	var deaths, created, deleted int
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 16 * gib
		h := newHost(t, dir, capacity)
		names := []string{"a", "b", "c"}
		written := map[types.UID]bool{}
		pick := func(t *rapid.T) string { return rapid.SampledFrom(names).Draw(t, "disk") }
		size := func(t *rapid.T) int64 { return int64(rapid.IntRange(1, 7).Draw(t, "GiB")) * gib }
		faults := func(t *rapid.T) {
			left := rapid.IntRange(0, 8).Draw(t, "changes before it dies")
			after := rapid.Bool().Draw(t, "after the change")
			h.fault = func(string) (error, error) {
				if left--; left >= 0 {
					return nil, nil
				}
				if left == -1 && after {
					return nil, errDied
				}
				return errDied, nil
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				if name := pick(t); h.get(name) == nil {
					var changes []change
					if other := pick(t); other != name && rapid.Bool().Draw(t, "a copy") {
						changes = append(changes, copyOf(other))
					}
					h.create(name, size(t), changes...)
					created++
				}
			},
			"delete": func(t *rapid.T) { h.delete(pick(t)); deleted++ },
			"grow": func(t *rapid.T) {
				name := pick(t)
				if d := h.get(name); d != nil {
					h.resize(name, d.Spec.Size.Value()+size(t))
				}
			},
			"a guest writes": func(t *rapid.T) {
				if d := h.get(pick(t)); d != nil && Ready(d) {
					h.storage.mu.Lock()
					h.storage.written[d.VolumeName()] = true
					h.storage.mu.Unlock()
					written[d.UID] = true
				}
			},
			"turns": func(*rapid.T) { h.turns() },
			"turns, and death": func(t *rapid.T) {
				faults(t)
				if h.turns() {
					deaths++
				}
				h.fault = func(string) (error, error) { return nil, nil }
				h.restart()
			},
			"": func(t *rapid.T) {
				sum := int64(0)
				for _, v := range h.volumes() {
					if !strings.Contains(v.Name, markWord) {
						sum += v.Capacity
					}
				}
				if sum > capacity {
					t.Fatalf("%d bytes of %d are promised", sum, capacity)
				}
				for _, name := range names {
					if d := h.get(name); d != nil && d.DeletionTimestamp == nil && written[d.UID] && !h.storage.written[d.VolumeName()] {
						t.Fatalf("what a guest wrote to %s is lost", name)
					}
				}
			},
		})
		h.restart()
		h.settle()
		var want, got []string
		for _, name := range names {
			if d := h.get(name); d != nil {
				if d.DeletionTimestamp != nil {
					t.Fatalf("%s is still being deleted: %+v", name, d.Status)
				}
				if Ready(d) {
					want = append(want, d.VolumeName())
				} else if d.Status.VolumeName != "" {
					t.Fatalf("%s has lost its volume: %+v", name, d.Status)
				}
			}
		}
		for _, v := range h.volumes() {
			got = append(got, v.Name)
		}
		slices.Sort(want)
		if !slices.Equal(want, got) {
			t.Fatalf("volumes %v, of objects %v", got, want)
		}
	})
	t.Logf("%d disks created, %d deletions asked, the process died %d times", created, deleted, deaths)
	if created == 0 || deleted == 0 || deaths == 0 {
		t.Error("the test has shown nothing")
	}
}
