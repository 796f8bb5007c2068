package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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

	"domus.dev/domus/pkg/api/imagestatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

const (
	node = "host"
	gib  = int64(1) << 30
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// errDied is how a process ends in these tests: nothing that it would have done next
// is done.
var errDied = errors.New("the process has died")

// store is storage that keeps the content of volumes, and in which the process dies
// before, amid or after a change.
type store struct {
	libvirt.Storage
	mu      sync.Mutex
	content map[string][]byte
	// left are the changes that are done before the process dies; none does when
	// negative. after says whether the last one is done.
	left  int
	after bool
	dead  bool
}

// change says whether a change is done, and whether the process lives afterwards.
func (s *store) change() (do, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return false, false
	}
	if s.left < 0 {
		return true, true
	}
	if s.left--; s.left >= 0 {
		return true, true
	}
	s.dead = true
	return s.after, false
}

func (s *store) try(fn func() error) error {
	do, live := s.change()
	if do {
		if err := fn(); err != nil {
			return err
		}
	}
	if !live {
		return errDied
	}
	return nil
}

func (s *store) set(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if content == nil {
		delete(s.content, name)
	} else {
		s.content[name] = content
	}
}

func (s *store) get(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content[name]
}

func (s *store) CreateVolume(ctx context.Context, pool string, v libvirt.NewVolume) error {
	return s.try(func() error {
		if err := s.Storage.CreateVolume(ctx, pool, v); err != nil {
			return err
		}
		s.set(v.Name, slices.Clone(append([]byte{}, s.get(path.Base(v.Backing))...)))
		return nil
	})
}

func (s *store) CopyVolume(ctx context.Context, pool string, v libvirt.NewVolume, fromPool, from string) error {
	return s.try(func() error {
		if err := s.Storage.CopyVolume(ctx, pool, v, fromPool, from); err != nil {
			return err
		}
		s.set(v.Name, slices.Clone(s.get(from)))
		return nil
	})
}

func (s *store) DeleteVolume(ctx context.Context, pool, name string) error {
	return s.try(func() error {
		if err := s.Storage.DeleteVolume(ctx, pool, name); err != nil {
			return err
		}
		s.set(name, nil)
		return nil
	})
}

func (s *store) Append(ctx context.Context, pool, name string, offset int64, from io.Reader) error {
	do, live := s.change()
	if !do && live {
		return errDied
	}
	limited := from
	if !live {
		// It dies amid it: some of the bytes are there.
		limited = io.LimitReader(from, 64+rand.Int64N(150_000))
	}
	data, failed := io.ReadAll(limited)
	if err := s.Storage.Append(ctx, pool, name, offset, bytes.NewReader(data)); err != nil {
		return err
	}
	s.set(name, append(slices.Clone(s.get(name)[:offset]), data...))
	if !live {
		return errDied
	}
	return failed
}

// revive is what a new process finds: its calls are answered.
func (s *store) revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.dead = -1, false
}

func (s *store) Download(_ context.Context, _, name string, to io.Writer) error {
	_, err := to.Write(s.get(name))
	return err
}

// place is a host's two keepers with all that is around them.
type place struct {
	t       rapid.TB
	api     client.WithWatch
	store   *store
	clock   *clocktesting.FakeClock
	images  *Keeper
	disks   *volumes.Keeper
	server  *server
	url     string
	said    *events.FakeRecorder
	origins Origins
	waiting map[types.NamespacedName]bool
}

func newPlace(t rapid.TB, dir string, capacity int64) *place {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	simulated, err := libvirt.SimulateStorage(filepath.Join(dir, fmt.Sprint(rand.Int64())), libvirt.Pool{Name: "default", Type: "dir", Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, clock: clocktesting.NewFakeClock(start), origins: Origins{Networks: everywhere}, server: &server{}}
	p.server.cut.Store(-1)
	p.api = fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&v1alpha1.VirtualDisk{}, "status.nodeName", func(o client.Object) []string { return []string{o.(*v1alpha1.VirtualDisk).Status.NodeName} }).
		WithStatusSubresource(&v1alpha1.VirtualDisk{}, &v1alpha1.VirtualDiskImage{}).Build()
	p.store = &store{Storage: simulated, content: map[string][]byte{}, left: -1}
	p.restart()
	return p
}

// restart replaces the keepers by some that remember nothing.
func (p *place) restart() {
	p.store.revive()
	live := interceptor.NewClient(p.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return p.store.try(func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return p.store.try(func() error { return c.SubResource(sub).Patch(ctx, o, patch, opts...) })
		},
	})
	p.said, p.waiting = events.NewFakeRecorder(10_000), map[types.NamespacedName]bool{}
	p.images = New(Options{
		Node: node, Storage: p.store, Live: live, Images: p, Disks: p, Pools: p, Origins: p.origins, Recorder: p.said, Clock: p.clock, Grace: time.Hour,
		Changed: func(types.NamespacedName) {},
	})
	p.disks = volumes.New(volumes.Options{
		Node: node, Storage: p.store, Live: live, Disks: p, Guests: p, Images: p.images, Recorder: p.said, Clock: p.clock,
		Changed: func(types.NamespacedName) {}, PoolsChanged: func() {},
	})
	p.images.Join(volumes.MarkSuffix("cluster", node))
	p.disks.Join("cluster")
}

// Pool, Spare and Look implement Pools.
func (p *place) Pool(name string) (libvirt.Pool, bool) { return p.disks.Pool(name) }
func (p *place) Spare(ctx context.Context, pool string) int64 {
	return p.disks.Spare(ctx, pool)
}
func (p *place) Look() {}

// Image implements Images.
func (p *place) Image(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDiskImage {
	i := &v1alpha1.VirtualDiskImage{}
	if p.api.Get(ctx, key, i) != nil {
		return nil
	}
	return i
}

// All implements Images.
func (p *place) All(ctx context.Context) (out []*v1alpha1.VirtualDiskImage) {
	list := &v1alpha1.VirtualDiskImageList{}
	if err := p.api.List(ctx, list); err != nil {
		p.t.Fatal(err)
	}
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

// Disk implements volumes.Disks.
func (p *place) Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{}
	if p.api.Get(ctx, key, d) != nil {
		return nil
	}
	return d
}

// Disks implements volumes.Disks.
func (p *place) Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool) {
	list := &v1alpha1.VirtualDiskList{}
	if err := p.api.List(ctx, list); err != nil {
		p.t.Fatal(err)
	}
	out := make([]*v1alpha1.VirtualDisk, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, true
}

// Users implements volumes.Guests.
func (p *place) Users(context.Context, *v1alpha1.VirtualDisk) []volumes.User { return nil }

func uid() types.UID {
	return types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Int64N(1<<47)))
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// image makes the object image, whose content the server has.
func (p *place) image(format v1alpha1.DiskFormat, checksum string) *v1alpha1.VirtualDiskImage {
	i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "image", UID: uid()}}
	i.Spec = v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{HTTP: &v1alpha1.HTTPOrigin{URL: p.url}}, Format: format, Checksum: checksum}
	if err := p.api.Create(context.Background(), i); err != nil {
		p.t.Fatal(err)
	}
	return i
}

// disk makes an object that begins with image, and whose home is here.
func (p *place) disk(name string, clone v1alpha1.ImageClone) {
	ctx := context.Background()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: uid()}}
	d.Spec.PoolName, d.Spec.Source = "default", &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: "image", Clone: clone}}
	if err := p.api.Create(ctx, d); err != nil {
		p.t.Fatal(err)
	}
	d.Status.NodeName, d.Status.PoolName, d.Status.Phase = node, "default", v1alpha1.DiskPending
	if err := p.api.Status().Update(ctx, d); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) delete(o client.Object, name string) {
	o.SetNamespace("ns")
	o.SetName(name)
	if err := p.api.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
		p.t.Fatal(err)
	}
}

// turns gives every disk and image one turn; the process may die in one.
func (p *place) turns() (dead bool) {
	ctx := context.Background()
	for _, err := range []error{p.disks.LookAtPools(ctx), p.disks.Sweep(ctx)} {
		if err != nil && !errors.Is(err, errDied) {
			p.t.Fatal(err)
		}
	}
	disks, _ := p.Disks(ctx)
	for _, d := range disks {
		if _, err := p.disks.Turn(ctx, client.ObjectKeyFromObject(d)); err != nil && !p.store.dead {
			p.t.Fatalf("turn of disk %s: %v", d.Name, err)
		}
	}
	for p.images.queue.Len() > 0 && !p.store.dead {
		key, _ := p.images.queue.Get()
		_, err := p.images.Turn(ctx, key)
		p.images.queue.Done(key)
		if err != nil && !p.store.dead && !errors.Is(err, imagestatus.ErrStale) {
			p.t.Fatalf("turn of image %v: %v", key, err)
		}
	}
	return p.store.dead
}

// settle gives turns until nothing changes.
func (p *place) settle() {
	for range 6 {
		p.turns()
		p.clock.Step(10 * time.Minute)
	}
}

func (p *place) volumes() (names []string) {
	all, err := p.store.Volumes(context.Background(), "default")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, v := range all {
		names = append(names, v.Name)
	}
	return names
}

func diskSays(d *v1alpha1.VirtualDisk) string {
	if d == nil {
		return "there is none"
	}
	c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionDiskReady)
	if c == nil {
		return ""
	}
	return c.Reason + ": " + c.Message
}

func (p *place) getDisk(name string) *v1alpha1.VirtualDisk {
	return p.Disk(context.Background(), types.NamespacedName{Namespace: "ns", Name: name})
}

// content is an image of the format: what its length says is what a guest sees of a
// raw one, and 1 GiB of a qcow2 one.
func contentOf(format v1alpha1.DiskFormat, length int) []byte {
	out := noise(length)
	if format == v1alpha1.DiskQCOW2 {
		copy(out, qcow2())
	} else {
		out[0] = 0
	}
	return out
}

// Whatever the process dies of and wherever, disks begin with what their image is and
// nothing else, no image is removed on which a disk stands, and in the end there are
// the volumes that are needed and no others.
func TestImagesAreNeitherBrokenNorLeaked(t *testing.T) {
	dir := t.TempDir()
	s := &server{tag: `"a"`}
	s.cut.Store(-1)
	web := httptest.NewServer(s)
	defer web.Close()
	deaths, resumed, made, stood := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := newPlace(t, dir, 64*gib)
		format := rapid.SampledFrom([]v1alpha1.DiskFormat{v1alpha1.DiskQCOW2, v1alpha1.DiskRaw}).Draw(t, "format")
		content := contentOf(format, rapid.IntRange(1, 200_000).Draw(t, "length")+1024)
		s.content, p.url = content, web.URL
		sum := sumOf(content)
		if rapid.Bool().Draw(t, "without a checksum") {
			sum = ""
		}
		pick := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name") }
		t.Repeat(map[string]func(*rapid.T){
			"create an image": func(t *rapid.T) {
				if p.Image(context.Background(), types.NamespacedName{Namespace: "ns", Name: "image"}) == nil {
					p.image(format, sum)
				}
			},
			"delete the image": func(*rapid.T) { p.delete(&v1alpha1.VirtualDiskImage{}, "image") },
			"create a disk": func(t *rapid.T) {
				if name := pick(t); p.getDisk(name) == nil {
					p.disk(name, rapid.SampledFrom([]v1alpha1.ImageClone{v1alpha1.CloneFull, v1alpha1.CloneBacking}).Draw(t, "clone"))
				}
			},
			"delete a disk": func(t *rapid.T) { p.delete(&v1alpha1.VirtualDisk{}, pick(t)) },
			"turns":         func(*rapid.T) { p.turns() },
			"turns, and death": func(t *rapid.T) {
				p.store.left, p.store.after = rapid.IntRange(0, 12).Draw(t, "changes before it dies"), rapid.Bool().Draw(t, "after the change")
				if p.turns() {
					deaths++
				}
				p.restart()
			},
			"time passes": func(t *rapid.T) {
				p.clock.Step(time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute)
			},
			"": func(t *rapid.T) {
				ctx := context.Background()
				all, _ := p.store.Volumes(ctx, "default")
				for _, v := range all {
					if v.Backing == "" {
						continue
					}
					stood++
					if !bytes.Equal(p.store.get(path.Base(v.Backing)), content) {
						t.Fatalf("%s stands on %s, which is gone or another", v.Name, v.Backing)
					}
				}
				disks, _ := p.Disks(ctx)
				for _, d := range disks {
					if volumes.Ready(d) && d.DeletionTimestamp == nil {
						made++
						if !bytes.Equal(p.store.get(d.VolumeName()), content) {
							t.Fatalf("disk %s is not what its image is", d.Name)
						}
					}
				}
			},
		})
		p.restart()
		before := s.sent.Load()
		p.settle()
		if s.sent.Load()-before > 0 && s.sent.Load()-before < int64(len(content)) {
			resumed++
		}
		// Nobody needs an image that no disk stands on, an hour later.
		p.clock.Step(2 * time.Hour)
		p.settle()
		p.clock.Step(2 * time.Hour)
		p.settle()
		ctx := context.Background()
		image := p.Image(ctx, types.NamespacedName{Namespace: "ns", Name: "image"})
		var want []string
		backed := map[string]bool{}
		disks, _ := p.Disks(ctx)
		for _, d := range disks {
			switch {
			case d.DeletionTimestamp != nil:
				t.Fatalf("disk %s is still being deleted: %s", d.Name, diskSays(d))
			case volumes.Ready(d):
				want = append(want, d.VolumeName())
				v, err := p.store.Volume(ctx, "default", d.VolumeName())
				if err != nil {
					t.Fatal(err)
				}
				if v.Backing != "" {
					backed[path.Base(v.Backing)] = true
				}
			case image != nil:
				t.Fatalf("disk %s is not made: %s", d.Name, diskSays(d))
			}
		}
		for name := range backed {
			want = append(want, name)
		}
		got := p.volumes()
		slices.Sort(want)
		if !slices.Equal(want, got) {
			t.Fatalf("volumes %v, want %v", got, want)
		}
		if image != nil && len(backed) == 0 && len(image.Status.Hosts) > 0 {
			t.Fatalf("the image's status tells of copies that are gone: %+v", image.Status.Hosts)
		}
	})
	t.Logf("the process died %d times, %d fetches were gone on with, %d looks at disks that were made, %d at such that stand on their image", deaths, resumed, made, stood)
	if deaths == 0 || made == 0 || stood == 0 {
		t.Error("the test has shown nothing")
	}
}

// A process that dies amid a fetch is followed by one that goes on with it, and reads
// of the server no more than is missing.
func TestAFetchIsGoneOnWithAfterDeath(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 1<<20)
	s, url := serve(t, content, `"a"`)
	p := newPlace(t, t.TempDir(), 64*gib)
	p.url = url
	p.image(v1alpha1.DiskQCOW2, sumOf(content))
	p.disk("disk", v1alpha1.CloneFull)
	// The finalizer, two reports, the mark, the volume's removal and making are done.
	p.store.left = 6
	for !p.turns() {
		if p.store.left < 0 {
			t.Fatal("it did not die")
		}
	}
	image := p.Image(t.Context(), types.NamespacedName{Namespace: "ns", Name: "image"})
	there := len(p.store.get(image.VolumeName()))
	if there == 0 || there == len(content) {
		t.Fatalf("%d bytes of %d are there", there, len(content))
	}
	p.restart()
	before := s.sent.Load()
	p.settle()
	if got := diskSays(p.getDisk("disk")); !strings.HasPrefix(got, v1alpha1.ReasonVolumeReady) {
		t.Fatalf("the disk: %s", got)
	}
	if sent := s.sent.Load() - before; sent != int64(len(content)-there) {
		t.Errorf("the server sent %d bytes, and %d were missing", sent, len(content)-there)
	}
	if !bytes.Equal(p.store.get(p.getDisk("disk").VolumeName()), content) {
		t.Error("the disk is not what its image is")
	}
}

// What goes wrong is said on the disk and on the image, and leaves nothing.
func TestImagesThatCannotBeHad(t *testing.T) {
	good := contentOf(v1alpha1.DiskQCOW2, 200_000)
	for name, test := range map[string]struct {
		format   v1alpha1.DiskFormat
		content  []byte
		checksum string
		capacity int64
		origins  Origins
		change   func(*v1alpha1.VirtualDiskImage)
		reason   string
		says     string
	}{
		"another checksum": {format: v1alpha1.DiskQCOW2, content: good, checksum: sumOf([]byte("x")), reason: v1alpha1.ReasonChecksumMismatch,
			says: "its sha256 is " + sumOf(good)[7:] + ", and spec.checksum is " + sumOf([]byte("x"))[7:]},
		"a backing file":   {format: v1alpha1.DiskQCOW2, content: append(qcow2(put64(8, 200), put32(16, 11)), good...), reason: v1alpha1.ReasonInvalidImage, says: "it has a backing file"},
		"a forged header":  {format: v1alpha1.DiskRaw, content: append(qcow2(put64(8, 200), put32(16, 11)), good...), reason: v1alpha1.ReasonInvalidImage, says: "begins as a file of format qcow2"},
		"no image at all":  {format: v1alpha1.DiskQCOW2, content: []byte("<html>"), reason: v1alpha1.ReasonInvalidImage, says: "does not begin as a file of format qcow2"},
		"nothing":          {format: v1alpha1.DiskRaw, content: nil, reason: v1alpha1.ReasonInvalidImage, says: "it is empty"},
		"a full pool":      {format: v1alpha1.DiskQCOW2, content: good, capacity: 100_000, reason: v1alpha1.ReasonPoolFull, says: "storage pool default has 97.7Ki for it, and it needs 195.3Ki"},
		"no network":       {format: v1alpha1.DiskQCOW2, content: good, origins: Origins{}, reason: v1alpha1.ReasonForbiddenOrigin, says: "may not fetch images from address 127.0.0.1"},
		"another size":     {format: v1alpha1.DiskQCOW2, content: good, change: sizedImage(2 * gib), reason: v1alpha1.ReasonInvalidImage, says: "a guest sees 1Gi of it, and spec.size is 2Gi"},
		"another raw size": {format: v1alpha1.DiskRaw, content: contentOf(v1alpha1.DiskRaw, 4096), change: sizedImage(8192), reason: v1alpha1.ReasonInvalidImage, says: "a guest sees 4Ki of it, and spec.size is 8Ki"},
	} {
		t.Run(name, func(t *testing.T) {
			capacity := test.capacity
			if capacity == 0 {
				capacity = 64 * gib
			}
			p := newPlace(t, t.TempDir(), capacity)
			if name == "no network" {
				p.origins = test.origins
				p.restart()
			}
			_, p.url = serve(t, test.content, "")
			if test.checksum == "" {
				test.checksum = sumOf(test.content)
			}
			i := p.image(test.format, test.checksum)
			if test.change != nil {
				test.change(i)
				if err := p.api.Update(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			p.disk("disk", v1alpha1.CloneFull)
			p.turns()
			p.turns()
			i = p.Image(t.Context(), client.ObjectKeyFromObject(i))
			c := i.Status.CopyAt(node, "default")
			if c == nil || c.Phase != v1alpha1.ImageFailed || c.Reason != test.reason || !strings.Contains(c.Message, test.says) {
				t.Errorf("the image says %+v, want %s: %s", c, test.reason, test.says)
			}
			if got := diskSays(p.getDisk("disk")); !strings.HasPrefix(got, v1alpha1.ReasonImageFailed) || !strings.Contains(got, test.says) {
				t.Errorf("the disk says %s", got)
			}
			for _, name := range p.volumes() {
				if !strings.Contains(name, ".making-") {
					t.Errorf("volume %s is left", name)
				}
			}
			p.delete(&v1alpha1.VirtualDisk{}, "disk")
			p.settle()
			if left := p.volumes(); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
			if i = p.Image(t.Context(), client.ObjectKeyFromObject(i)); len(i.Status.Hosts) > 0 {
				t.Errorf("the image's status still tells of %+v", i.Status.Hosts)
			}
		})
	}
}

func sizedImage(bytes int64) func(*v1alpha1.VirtualDiskImage) {
	return func(i *v1alpha1.VirtualDiskImage) { i.Spec.Size = quantity(bytes) }
}

// A disk that is smaller than its image says so; one that is larger is larger.
func TestSizes(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 200_000)
	p := newPlace(t, t.TempDir(), 64*gib)
	_, p.url = serve(t, content, "")
	p.image(v1alpha1.DiskQCOW2, sumOf(content))
	for name, size := range map[string]int64{"small": gib / 2, "large": 3 * gib} {
		p.disk(name, v1alpha1.CloneFull)
		d := p.getDisk(name)
		d.Spec.Size = quantity(size)
		if err := p.api.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	p.disk("equal", v1alpha1.CloneBacking)
	p.settle()
	if got := diskSays(p.getDisk("small")); got != "SourceLarger: VirtualDiskImage image has 1Gi, and spec.size is 512Mi: make it at least as large, or leave it out" {
		t.Errorf("small: %s", got)
	}
	for name, want := range map[string]int64{"large": 3 * gib, "equal": gib} {
		if d := p.getDisk(name); d.Status.Capacity != want || !volumes.Ready(d) {
			t.Errorf("%s: %+v", name, d.Status)
		}
	}
}

func quantity(bytes int64) *resource.Quantity { return resource.NewQuantity(bytes, resource.BinarySI) }
