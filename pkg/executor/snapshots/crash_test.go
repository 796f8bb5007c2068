package snapshots

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

var webKey = types.NamespacedName{Namespace: "ns", Name: "web"}

// world is a host with one VM, whose guest counts on its two disks, and a keeper.
// Whatever is changed there passes through fault, which may have the process die
// before it, after it, or between two disks.
type world struct {
	libvirt.SimulatedStorage
	t      rapid.TB
	api    client.WithWatch
	clock  *clocktesting.FakeClock
	keeper *Keeper
	fault  func() (before, after error)
	// runs is the guest, content what is on its disks, and kept what snapshots have.
	// out are the volumes that the guest has not got, read those that somebody copies,
	// and moments what was on all disks at one time.
	runs    bool
	out     map[string]bool
	read    map[string]bool
	moments map[string]bool
	paused  bool
	frozen  bool
	content map[string]int
	kept    map[string]map[string]int
	// memories are the whole files of memory.
	memories map[string]bool
}

var diskNames = []string{"x", "y"}

func newWorld(t rapid.TB, dir string) *world {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	storage, err := libvirt.SimulateStorage(filepath.Join(dir, fmt.Sprint(rand.Int64())), libvirt.Pool{Name: "default", Type: "dir", Capacity: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		SimulatedStorage: storage, t: t, clock: clocktesting.NewFakeClock(now), runs: true,
		out: map[string]bool{}, read: map[string]bool{}, moments: map[string]bool{},
		content: map[string]int{}, kept: map[string]map[string]int{}, memories: map[string]bool{},
	}
	w.calm()
	w.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VirtualMachineSnapshot{}, &v1alpha1.VirtualDisk{}, &v1alpha1.VirtualMachine{}).Build()
	ctx := context.Background()
	vm := usual().VM
	for _, name := range diskNames {
		d := disk(name).Object
		d.UID = types.UID(name + "-uid")
		vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: name, DiskName: name})
		status := d.Status
		must(t, w.api.Create(ctx, d))
		d.Status = status
		must(t, w.api.Status().Update(ctx, d))
		must(t, storage.CreateVolume(ctx, "default", libvirt.NewVolume{Name: status.VolumeName, Format: libvirt.FormatQCOW2, Capacity: 1 << 20}))
		w.kept[status.VolumeName] = map[string]int{}
		w.content[status.VolumeName] = 0
	}
	vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: "tray", Type: v1alpha1.DeviceCDROM})
	w.moment()
	must(t, w.api.Create(ctx, vm))
	w.restart()
	return w
}

func must(t rapid.TB, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) calm() { w.fault = func() (error, error) { return nil, nil } }

// change has something happen, or the process die.
func (w *world) change(fn func() error) error {
	before, after := w.fault()
	if before != nil {
		return before
	}
	if err := fn(); err != nil {
		return err
	}
	return after
}

// each is change for each volume by itself.
func (w *world) each(volumes []libvirt.VolumeRef, fn func(v libvirt.VolumeRef) error) error {
	for _, v := range volumes {
		if err := w.change(func() error { return fn(v) }); err != nil {
			return err
		}
	}
	return nil
}

// moment remembers what is on all disks now.
func (w *world) moment() { w.moments[fmt.Sprint(w.content)] = true }

func (w *world) has(volume string) bool { return w.runs && !w.out[volume] }

// apart has the test fail when a volume is changed that somebody reads.
func (w *world) apart(v libvirt.VolumeRef) {
	if w.read[v.Name] {
		w.t.Fatalf("volume %s is changed while it is copied", v.Name)
	}
}

func (w *world) take(ctx context.Context, name string, v libvirt.VolumeRef) error {
	w.apart(v)
	if err := w.SimulatedStorage.SnapshotVolumes(ctx, name, []libvirt.VolumeRef{v}); err != nil {
		return err
	}
	w.kept[v.Name][name] = w.content[v.Name]
	return nil
}

func (w *world) SnapshotVolumes(ctx context.Context, name string, volumes []libvirt.VolumeRef) error {
	return w.each(volumes, func(v libvirt.VolumeRef) error {
		if w.has(v.Name) {
			w.t.Fatal("volumes are changed under the guest")
		}
		return w.take(ctx, name, v)
	})
}

func (w *world) SnapshotGuest(ctx context.Context, _, name string, volumes []libvirt.VolumeRef) error {
	return w.change(func() error {
		for _, v := range volumes {
			if !w.has(v.Name) {
				w.t.Fatalf("the guest has no volume %s", v.Name)
			}
			if err := w.take(ctx, name, v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) RevertVolumes(ctx context.Context, name string, volumes []libvirt.VolumeRef) error {
	if w.runs {
		w.t.Fatal("volumes are reverted under the guest")
	}
	return w.each(volumes, func(v libvirt.VolumeRef) error {
		w.apart(v)
		if err := w.SimulatedStorage.RevertVolumes(ctx, name, []libvirt.VolumeRef{v}); err != nil {
			return err
		}
		w.content[v.Name] = w.kept[v.Name][name]
		w.moment()
		return nil
	})
}

func (w *world) DeleteVolumeSnapshots(ctx context.Context, name string, volumes []libvirt.VolumeRef) error {
	return w.each(volumes, func(v libvirt.VolumeRef) error {
		w.apart(v)
		delete(w.kept[v.Name], name)
		return w.SimulatedStorage.DeleteVolumeSnapshots(ctx, name, []libvirt.VolumeRef{v})
	})
}

func (w *world) DeleteGuestSnapshot(ctx context.Context, _, name string, v libvirt.VolumeRef) error {
	return w.DeleteVolumeSnapshots(ctx, name, []libvirt.VolumeRef{v})
}

func (w *world) Freeze(context.Context, string) error {
	return w.change(func() error { w.frozen = true; return w.hears() })
}

func (w *world) Thaw(context.Context, string) error {
	if err := w.hears(); err != nil {
		return err
	}
	return w.change(func() error { w.frozen = false; return nil })
}

// hears says whether the guest's agent does, as libvirt says it.
func (w *world) hears() error {
	if w.paused {
		return &libvirt.Error{Doing: "asking the agent", Message: "Requested operation is not valid: domain is not running"}
	}
	return nil
}

func (w *world) Suspend(context.Context, string) error {
	return w.change(func() error { w.paused = true; return nil })
}

func (w *world) Resume(context.Context, string) error {
	return w.change(func() error { w.paused = false; return nil })
}

func (w *world) AbortJob(context.Context, string) error { return nil }

func (w *world) WriteMemory(_ context.Context, _, _, file string) error {
	if !w.paused {
		w.t.Fatal("memory is written while the guest runs")
	}
	return w.change(func() error { w.memories[file] = true; return nil })
}

func (w *world) DeleteVolume(ctx context.Context, pool, name string) error {
	return w.change(func() error {
		delete(w.memories, name)
		return w.SimulatedStorage.DeleteVolume(ctx, pool, name)
	})
}

// Guest implements Guests.
func (w *world) Guest(context.Context, *v1alpha1.VirtualMachine) (Guest, error) {
	d := &libvirt.Domain{UUID: "vm-uid", State: libvirt.StateShutOff, Agent: libvirt.AgentOpen}
	switch {
	case w.runs && w.paused:
		d.State, d.Reason = libvirt.StatePaused, libvirt.ReasonPausedByUser
	case w.runs:
		d.State = libvirt.StateRunning
	}
	for v := range w.kept {
		if !w.out[v] {
			d.Volumes = append(d.Volumes, libvirt.VolumeRef{Pool: "default", Name: v})
		}
	}
	return Guest{Domain: d}, nil
}

func (w *world) User(v libvirt.VolumeRef) string {
	if w.has(v.Name) {
		return "vm-uid"
	}
	return ""
}

func volumeOf(disk types.UID) string { return strings.TrimSuffix(string(disk), "-uid") + ".vd-1" }

func (w *world) Copied(disk types.UID) bool { return w.read[volumeOf(disk)] }

func (w *world) Alter(disks ...types.UID) (func(), bool) {
	if slices.ContainsFunc(disks, w.Copied) {
		return nil, false
	}
	return func() {}, true
}

func (w *world) Occupy(context.Context, types.NamespacedName) (func(), error) { return func() {}, nil }

func (w *world) Operates(context.Context, types.NamespacedName, types.UID) bool { return false }

func (w *world) Deadline(*v1alpha1.VirtualMachine) time.Duration { return time.Minute }

// SnapshotsOf implements Snapshots.
func (w *world) SnapshotsOf(ctx context.Context, _ types.NamespacedName) ([]*v1alpha1.VirtualMachineSnapshot, bool) {
	list := &v1alpha1.VirtualMachineSnapshotList{}
	must(w.t, w.api.List(ctx, list))
	var out []*v1alpha1.VirtualMachineSnapshot
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, true
}

// restart replaces the keeper by one that remembers nothing. The VM's turn has a
// guest go on that stands still.
func (w *world) restart() {
	live := interceptor.NewClient(w.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if key.Name == "" {
				return errors.New("resource name may not be empty") // as a client says it that asks nobody
			}
			return c.Get(ctx, key, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.change(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			err := w.change(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
			if err != nil && strings.Contains(err.Error(), "test failed") {
				// As the API server says it.
				err = apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
			}
			return err
		},
	})
	w.keeper = New(Options{
		Node: node, Host: w, Live: live, Snapshots: w, Guests: w, Recorder: events.NewFakeRecorder(10000), Clock: w.clock, Changed: func(types.NamespacedName) {},
	})
	w.paused = false
}

func (w *world) create(name string, with bool) {
	s := usual().Snapshot
	s.Name, s.UID, s.Finalizers = name, types.UID(fmt.Sprintf("%s-%d", name, rand.Int64())), nil
	if with {
		s.Spec.Memory = v1alpha1.SnapshotMemoryInternal
	}
	must(w.t, w.api.Create(context.Background(), s))
	s.Status = v1alpha1.VirtualMachineSnapshotStatus{Phase: v1alpha1.SnapshotPending, NodeName: node, VirtualMachineUID: "vm-uid"}
	must(w.t, w.api.Status().Update(context.Background(), s))
}

func (w *world) get(name string) *v1alpha1.VirtualMachineSnapshot {
	s := &v1alpha1.VirtualMachineSnapshot{}
	if w.api.Get(context.Background(), types.NamespacedName{Namespace: "ns", Name: name}, s) != nil {
		return nil
	}
	return s
}

func (w *world) all() (out []*v1alpha1.VirtualMachineSnapshot) {
	out, _ = w.SnapshotsOf(context.Background(), webKey)
	return out
}

func (w *world) restoring() *v1alpha1.VirtualMachineSnapshot {
	for _, s := range w.all() {
		if s.Status.Restoring != nil {
			return s
		}
	}
	return nil
}

// A drive without a medium stands in the way of no restore.
func TestARestoreWithAnEmptyTray(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.create("s", false)
	for range 30 {
		w.turn()
		w.clock.Step(time.Second)
	}
	if s := w.get("s"); !Ready(s) {
		t.Fatalf("no snapshot was made: %s %v", s.Status.Phase, s.Status.Conditions)
	}
	vm := &v1alpha1.VirtualMachine{}
	must(t, w.api.Get(t.Context(), webKey, vm))
	for _, name := range diskNames {
		d := &v1alpha1.VirtualDisk{}
		must(t, w.api.Get(t.Context(), types.NamespacedName{Namespace: "ns", Name: name}, d))
		d.Status.ClaimedBy = &v1alpha1.DiskClaim{Name: vm.Name, UID: vm.UID}
		must(t, w.api.Status().Update(t.Context(), d))
	}
	op := &v1alpha1.VirtualMachineOperation{}
	op.UID, op.Spec.Restore = "op", &v1alpha1.Restore{SnapshotName: "s"}
	r, err := w.keeper.Restoration(t.Context(), vm, op)
	if err != nil || r.Refusal != "" {
		t.Fatalf("refused: %+v, %v", r, err)
	}
}

// A paused guest hears nothing, and its disks are taken all the same. Only where a
// process that died may have brought its file systems to rest they are not: once it
// went on it would stand still for good.
func TestASnapshotOfAPausedGuest(t *testing.T) {
	settle := func(w *world) *v1alpha1.VirtualMachineSnapshot {
		for range 5 {
			w.turn()
			w.clock.Step(2 * lastBackoff)
		}
		return w.get("s")
	}
	w := newWorld(t, t.TempDir())
	w.paused = true
	w.create("s", false)
	if s := settle(w); !Ready(s) {
		t.Errorf("no snapshot was made: %+v", s.Status)
	}

	w = newWorld(t, t.TempDir())
	w.create("s", false)
	w.fault = func() (error, error) {
		if w.frozen {
			return errDied, nil
		}
		return nil, nil
	}
	for range 5 {
		w.turn()
	}
	if !w.frozen {
		t.Fatal("its file systems are not at rest")
	}
	w.calm()
	w.restart()
	w.paused = true
	if s := settle(w); Ready(s) || !strings.Contains(s.Status.Conditions[0].Message, "set spec.powerState to Running") {
		t.Errorf("%+v", s.Status)
	}
	w.paused = false
	if s := settle(w); !Ready(s) || w.frozen {
		t.Errorf("at rest: %v, %+v", w.frozen, s.Status)
	}
}

// turn gives the VM's snapshots a turn; the process may die in it.
func (w *world) turn() (dead bool) {
	if w.restoring() != nil {
		w.runs = false // as the VM's turn does
	}
	_, err := w.keeper.Turn(context.Background(), webKey)
	if errors.Is(err, errDied) {
		return true
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return false
}

// Whatever the process dies of and wherever: in the disks are the snapshots of the
// objects and no others, each with what was on all disks at one time; a restore that
// has begun comes to its end, and no guest runs before; and nothing of a guest is left
// at rest.
func TestSnapshotsAreNeitherLostNorLeaked(t *testing.T) {
	dir := t.TempDir()
	var deaths, made, reverted, removed int
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, dir)
		names := []string{"a", "b", "c"}
		pick := func(t *rapid.T) *v1alpha1.VirtualMachineSnapshot {
			return w.get(rapid.SampledFrom(names).Draw(t, "snapshot"))
		}
		count := 0
		writes := func() {
			if w.restoring() == nil && w.runs && !w.paused && !w.frozen {
				count++
				for v := range w.kept {
					if w.has(v) {
						w.content[v] = count
					}
				}
				w.moment()
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"a guest writes": func(*rapid.T) { writes() },
			"power": func(*rapid.T) {
				if w.restoring() == nil {
					w.runs, w.paused, w.frozen = !w.runs, false, false
				}
			},
			"plug, or unplug": func(*rapid.T) {
				if w.restoring() == nil {
					w.out["y.vd-1"] = !w.out["y.vd-1"]
				}
			},
			"a copy": func(*rapid.T) {
				if !w.has("y.vd-1") {
					w.read["y.vd-1"] = !w.read["y.vd-1"]
				}
			},
			"create": func(t *rapid.T) {
				if name := rapid.SampledFrom(names).Draw(t, "snapshot"); w.get(name) == nil {
					w.create(name, rapid.Bool().Draw(t, "memory"))
				}
			},
			"delete": func(t *rapid.T) {
				if s := pick(t); s != nil {
					must(t, client.IgnoreNotFound(w.api.Delete(context.Background(), s)))
				}
			},
			"restore": func(t *rapid.T) {
				if s := pick(t); s != nil && Ready(s) && w.restoring() == nil {
					w.calm()
					must(t, w.keeper.Begin(context.Background(), &v1alpha1.VirtualMachine{ObjectMeta: usual().VM.ObjectMeta}, &Restoration{Snapshot: s, Operation: "op"}, false))
					reverted++
				}
			},
			"turn": func(*rapid.T) { w.turn() },
			"turn, and death": func(t *rapid.T) {
				left, after := rapid.IntRange(0, 12).Draw(t, "changes before it dies"), rapid.Bool().Draw(t, "after the change")
				died := false
				w.fault = func() (error, error) {
					if left--; left >= 0 && !died {
						return nil, nil
					}
					if !died && after {
						died = true
						return nil, errDied
					}
					died = true
					return errDied, nil
				}
				if w.turn() || died {
					deaths++
				}
				w.calm()
				w.restart()
			},
			"": func(t *rapid.T) {
				current := 0
				for _, s := range w.all() {
					if s.Status.Current && s.DeletionTimestamp == nil {
						current++
					}
					if !Ready(s) {
						continue
					}
					then := map[string]int{}
					for v, has := range w.kept {
						n, is := has[s.Tag()]
						if !is {
							t.Fatalf("%s is Ready, and not in %s", s.Name, v)
						}
						then[v] = n
					}
					if !w.moments[fmt.Sprint(then)] {
						t.Fatalf("%s has disks of different times: %v", s.Name, w.kept)
					}
					if m := s.Status.MemoryVolume; m != nil && !w.memories[m.VolumeName] {
						t.Fatalf("%s is Ready, and its memory is not there", s.Name)
					}
				}
				if current > 1 {
					t.Fatalf("%d are current", current)
				}
			},
		})
		w.restart()
		clear(w.read)
		if s := w.restoring(); s != nil {
			want := map[string]int{}
			for v := range w.kept {
				want[v] = w.kept[v][s.Tag()]
			}
			for range 3 {
				w.turn()
			}
			if diff := cmp.Diff(want, w.content); diff != "" {
				t.Fatalf("after the restore to %s (-it +there is): %s", s.Name, diff)
			}
		}
		for range 4 {
			w.turn()
			w.clock.Step(2 * lastBackoff)
		}
		want := []string{}
		for _, s := range w.all() {
			switch {
			case s.DeletionTimestamp != nil || s.Status.Restoring != nil:
				t.Fatalf("%s is not settled: %+v", s.Name, s.Status)
			case s.Status.Phase == v1alpha1.SnapshotReady:
				want = append(want, s.Tag())
				made++
			case s.Status.Phase != v1alpha1.SnapshotFailed || s.Status.MemoryVolume != nil:
				t.Fatalf("%s is not settled: %+v", s.Name, s.Status)
			default:
				removed++
			}
			if p := s.Status.ParentName; p != "" && w.get(p) == nil {
				t.Fatalf("%s is based on %s, which is gone", s.Name, p)
			}
		}
		slices.Sort(want)
		for v, has := range w.kept {
			if got := slices.Sorted(maps.Keys(has)); !slices.Equal(got, want) {
				t.Fatalf("%s has %v, of objects %v", v, got, want)
			}
		}
		if w.frozen || w.paused {
			t.Fatalf("the guest stands still: frozen %v, paused %v", w.frozen, w.paused)
		}
	})
	t.Logf("%d snapshots made, %d restores, %d refused, the process died %d times", made, reverted, removed, deaths)
	if made == 0 || reverted == 0 || deaths == 0 {
		t.Error("the test has shown nothing")
	}
}
