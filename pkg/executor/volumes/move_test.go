package volumes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/controller/diskmove"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

// stuff is storage whose volumes have content.
type stuff struct {
	libvirt.Storage
	fault func(what string) (before, after error)
	mu    sync.Mutex
	bytes map[string][]byte // by pool/name
}

func (s *stuff) change(what string, fn func() error) error {
	before, after := s.fault(what)
	if before != nil {
		return before
	}
	if err := fn(); err != nil {
		return err
	}
	return after
}

func (s *stuff) get(pool, name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes[pool+"/"+name]
}

func (s *stuff) CreateVolume(ctx context.Context, pool string, v libvirt.NewVolume) error {
	return s.change("create", func() error {
		if err := s.Storage.CreateVolume(ctx, pool, v); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bytes[pool+"/"+v.Name] = make([]byte, v.Capacity)
		return nil
	})
}

func (s *stuff) DeleteVolume(ctx context.Context, pool, name string) error {
	return s.change("delete", func() error {
		s.mu.Lock()
		delete(s.bytes, pool+"/"+name)
		s.mu.Unlock()
		return s.Storage.DeleteVolume(ctx, pool, name)
	})
}

func (s *stuff) VolumeLength(ctx context.Context, pool, name string) (int64, error) {
	if _, err := s.Volume(ctx, pool, name); err != nil {
		return 0, err
	}
	return int64(len(s.get(pool, name))), nil
}

func (s *stuff) ReadVolume(ctx context.Context, pool, name string, offset, length int64, to libvirt.ContentSink) error {
	data := s.get(pool, name)
	if int64(len(data)) < offset+length {
		return io.ErrUnexpectedEOF
	}
	for data = data[offset : offset+length]; len(data) > 0; {
		if before, _ := s.fault("read"); before != nil {
			return before
		}
		piece := data[:min(len(data), 1000)]
		data = data[len(piece):]
		err := error(nil)
		if len(bytes.Trim(piece, "\x00")) == 0 {
			err = to.Hole(int64(len(piece)))
		} else {
			_, err = to.Write(piece)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stuff) WriteVolume(ctx context.Context, pool, name string, offset, length int64, sparse bool, from libvirt.ContentSource) error {
	for length > 0 {
		data, hole, err := from.Next()
		if err != nil {
			return err
		}
		err = s.change("write", func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			whole, ok := s.bytes[pool+"/"+name]
			if !ok {
				return fmt.Errorf("volume %s is gone", name)
			}
			n := int64(len(data)) + hole
			if sparse && hole > 0 {
				whole = append(whole[:offset:offset], make([]byte, hole)...)
			}
			if short := offset + n - int64(len(whole)); short > 0 {
				whole = append(whole, make([]byte, short)...)
			}
			clear(whole[offset : offset+n])
			copy(whole[offset:], data)
			s.bytes[pool+"/"+name] = whole
			offset += n
			length -= n
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pair are two hosts, and the API server and the scheduler's leader between them.
type pair struct {
	t      rapid.TB
	api    client.WithWatch
	clock  *clocktesting.FakeClock
	leader *diskmove.Controller
	hosts  map[string]*moveHost
	room   int64
}

type moveHost struct {
	*pair
	node   string
	stuff  *stuff
	server *transfer.Server
	mu     sync.Mutex
	fault  func(what string) (before, after error)
	keeper *Keeper
	users  map[string][]User
}

// Room and Hold implement diskmove.Space.
func (p *pair) Room(types.UID, *v1alpha1.Hypervisor, string) int64 { return p.room }
func (p *pair) Hold(*v1alpha1.VirtualDisk, *v1alpha1.Hypervisor, string, int64) (func(), bool) {
	return func() {}, true
}

type tester interface {
	rapid.TB
	Cleanup(func())
}

func newPair(t tester, dir string) *pair {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, clock: clocktesting.NewFakeClock(now), hosts: map[string]*moveHost{}, room: 1 << 40}
	p.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VirtualDisk{}, &v1alpha1.Hypervisor{}).Build()
	p.leader = diskmove.New(p.api, p.api, p, p.clock)
	for _, node := range []string{"a", "b"} {
		h := &moveHost{pair: p, node: node, users: map[string][]User{}}
		h.faultless()
		storage, err := libvirt.SimulateStorage(filepath.Join(dir, fmt.Sprint(rand.Int64())),
			libvirt.Pool{Name: "default", Type: "dir", Capacity: 64 << 20}, libvirt.Pool{Name: "blocks", Type: "logical", Capacity: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		h.stuff = &stuff{Storage: storage, bytes: map[string][]byte{}, fault: h.dies}
		identity, err := transfer.NewIdentity(node, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if h.server, err = transfer.Listen(identity, "127.0.0.1:0", ""); err != nil {
			t.Fatal(err)
		}
		h.server.Handle("/v1/incoming/{namespace}/{name}/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, handler := h.keeper.Incoming()
			handler.ServeHTTP(w, r)
		}))
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = h.server.Serve(ctx)
		}()
		t.Cleanup(func() { cancel(); <-served })
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: node}}
		if err := p.api.Create(context.Background(), hv); err != nil {
			t.Fatal(err)
		}
		hv.Status.Transfer = &v1alpha1.HostTransfer{Address: h.server.Address, Certificate: identity.PEM}
		hv.Status.Pools = []v1alpha1.HostPool{{Name: "blocks", Type: "logical"}, {Name: "default", Type: "dir"}}
		if err := p.api.Status().Update(context.Background(), hv); err != nil {
			t.Fatal(err)
		}
		p.hosts[node] = h
		h.restart()
	}
	return p
}

func (h *moveHost) dies(what string) (before, after error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault(what)
}

func (h *moveHost) set(fault func(what string) (before, after error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = fault
}

func (h *moveHost) faultless() { h.set(func(string) (error, error) { return nil, nil }) }

func (h *moveHost) restart() {
	write := func(what string, fn func() error) error {
		before, after := h.dies(what)
		if before != nil {
			return before
		}
		if err := fn(); err != nil {
			return err
		}
		return after
	}
	live := interceptor.NewClient(h.api, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write("status", func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	h.keeper = New(Options{
		Node: h.node, Storage: h.stuff, Live: live, Disks: h, Guests: h, Recorder: events.NewFakeRecorder(1000), Clock: h.clock,
		Peers:   &transfer.Peers{Live: h.api, Identity: h.server.Identity},
		Changed: func(types.NamespacedName) {}, PoolsChanged: func() {},
	})
	h.keeper.segment = 16 << 10
	h.keeper.Join("cluster")
}

// Disk implements Disks.
func (h *moveHost) Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{}
	if h.api.Get(ctx, key, d) != nil || d.Status.NodeName != h.node {
		return nil
	}
	return d
}

// Disks implements Disks.
func (h *moveHost) Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool) {
	if d := h.Disk(ctx, diskKey); d != nil {
		return []*v1alpha1.VirtualDisk{d}, true
	}
	return nil, true
}

// Users implements Guests.
func (h *moveHost) Users(_ context.Context, d *v1alpha1.VirtualDisk) []User { return h.users[d.Name] }

var diskKey = types.NamespacedName{Namespace: "ns", Name: "data"}

func (p *pair) disk() *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{}
	if err := p.api.Get(context.Background(), diskKey, d); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		p.t.Fatal(err)
	}
	return d
}

// want edits where the disk is to be.
func (p *pair) want(node, pool string) {
	if d := p.disk(); d != nil && d.DeletionTimestamp == nil {
		d.Spec.NodeName, d.Spec.PoolName = node, pool
		if err := p.api.Update(context.Background(), d); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *pair) lead() {
	if _, err := p.leader.Reconcile(context.Background(), ctrl.Request{NamespacedName: diskKey}); err != nil {
		p.t.Fatal(err)
	}
}

// turn gives the disk a turn on the host; the process may die in it.
func (h *moveHost) turn() (dead bool) {
	ctx := context.Background()
	if err := h.keeper.LookAtPools(ctx); err != nil {
		h.t.Fatal(err)
	}
	if !h.keeper.swept.Load() {
		if err := h.keeper.Sweep(ctx); errors.Is(err, errDied) {
			return true
		} else if err != nil {
			h.t.Fatal(err)
		}
	}
	h.keeper.tidyArrivals(ctx)
	_, err := h.keeper.Turn(ctx, diskKey)
	if errors.Is(err, errDied) {
		return true
	}
	if err != nil {
		h.t.Fatalf("turn on %s: %v", h.node, err)
	}
	return false
}

// begin makes a disk with random content, at home on a, and returns the content.
func (p *pair) begin(format v1alpha1.DiskFormat) []byte {
	ctx := context.Background()
	const size = 256 << 10
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "0a1b2c3d-0000-4000-8000-000000000001"}}
	d.Spec.Size, d.Spec.Format = resource.NewQuantity(size, resource.BinarySI), format
	if err := p.api.Create(ctx, d); err != nil {
		p.t.Fatal(err)
	}
	d.Status.NodeName, d.Status.PoolName, d.Status.Phase = "a", "default", v1alpha1.DiskPending
	if err := p.api.Status().Update(ctx, d); err != nil {
		p.t.Fatal(err)
	}
	for range 3 {
		p.hosts["a"].turn()
		p.hosts["b"].turn()
	}
	content := make([]byte, size)
	for i := range content {
		if i/30000%3 > 0 { // and holes
			content[i] = byte(rand.Uint32())
		}
	}
	s := p.hosts["a"].stuff
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes["default/"+d.VolumeName()] = bytes.Clone(content)
	return content
}

// settle gives turns without faults until nothing changes.
func (p *pair) settle() {
	for _, h := range p.hosts {
		h.faultless()
	}
	for range 12 {
		p.lead()
		p.hosts["a"].turn()
		p.hosts["b"].turn()
		p.clock.Step(lastBackoff + idleArrival)
	}
}

// volumes lists what there is, as node/pool/name.
func (p *pair) volumes() (out []string) {
	for _, node := range []string{"a", "b"} {
		for _, pool := range []string{"blocks", "default"} {
			all, err := p.hosts[node].stuff.Volumes(context.Background(), pool)
			if err != nil {
				p.t.Fatal(err)
			}
			for _, v := range all {
				out = append(out, node+"/"+pool+"/"+v.Name)
			}
		}
	}
	return out
}

func TestADiskIsMoved(t *testing.T) {
	for name, test := range map[string]struct {
		format     v1alpha1.DiskFormat
		node, pool string
	}{
		"to another host":                  {v1alpha1.DiskQCOW2, "b", ""},
		"to another pool":                  {v1alpha1.DiskRaw, "", "blocks"},
		"to another pool of another host":  {v1alpha1.DiskRaw, "b", "blocks"},
		"raw, to another host's same pool": {v1alpha1.DiskRaw, "b", "default"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, t.TempDir())
			content := p.begin(test.format)
			p.want(test.node, test.pool)
			p.settle()
			d := p.disk()
			node, pool := d.Wanted()
			if d.Status.NodeName != node || d.Status.PoolName != pool || d.Status.MoveTo != nil || d.Status.MoveProgress != nil || !Ready(d) {
				t.Fatalf("it is not there: %+v", d.Status)
			}
			if got := p.volumes(); len(got) != 1 || got[0] != node+"/"+pool+"/"+d.VolumeName() {
				t.Fatalf("there is %v", got)
			}
			if !bytes.Equal(p.hosts[node].stuff.get(pool, d.VolumeName()), content) {
				t.Error("it is not what it was")
			}
		})
	}
}

// A sender that dies amid the content goes on where it was.
func TestASenderThatDiesGoesOn(t *testing.T) {
	p := newPair(t, t.TempDir())
	content := p.begin(v1alpha1.DiskRaw)
	a, b := p.hosts["a"], p.hosts["b"]
	p.want("b", "")
	p.lead()
	reads := 0
	a.set(func(what string) (error, error) {
		if what == "read" {
			reads++
		}
		if reads > len(content)/1000*3/4 {
			return errDied, nil
		}
		return nil, nil
	})
	if !a.turn() {
		t.Fatal("it has not died")
	}
	in := b.keeper.arrivals.get(p.disk().UID)
	if in == nil {
		t.Fatal("the target has nothing")
	}
	// The target may be reading what was sent.
	has := func() int64 {
		in.busy.Lock()
		defer in.busy.Unlock()
		return in.offset
	}
	for deadline := time.Now().Add(30 * time.Second); has() < int64(len(content)/4) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	there := has()
	if there < int64(len(content)/4) {
		t.Fatalf("the target has %d bytes", there)
	}
	a.faultless()
	a.restart()
	written := 0
	b.set(func(what string) (error, error) {
		if what == "write" {
			written++
		}
		return nil, nil
	})
	a.turn()
	if d := p.disk(); !d.Status.Leaving() {
		t.Fatalf("it was not copied: %+v", d.Status)
	}
	if most := (len(content) - int(there)) / 500; written > most {
		t.Errorf("the target was given %d pieces behind %d bytes, want at most %d", written, there, most)
	}
	p.settle()
	if got := b.stuff.get("default", p.disk().VolumeName()); !bytes.Equal(got, content) {
		t.Error("it is not what it was")
	}
}

// Whatever dies of whichever host, and however often somebody changes their mind,
// all of the disk's content is where its status says, and in the end there alone.
func TestAMovedDiskIsNeitherLostNorLeaked(t *testing.T) {
	dir := t.TempDir()
	var deaths, moves int
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, dir)
		content := p.begin(v1alpha1.DiskRaw)
		seen := ""
		check := func() {
			d := p.disk()
			if d == nil || d.DeletionTimestamp != nil {
				return
			}
			node, pool := d.Status.NodeName, d.Status.PoolName
			if at := node + "/" + pool; at != seen {
				seen = at
				moves++
			}
			if d.Status.Leaving() {
				node, pool = d.Status.MoveTo.NodeName, d.Status.MoveTo.PoolName
			}
			if !bytes.Equal(p.hosts[node].stuff.get(pool, d.VolumeName()), content) {
				t.Fatalf("the content is not in pool %s of host %s: %+v, %v", pool, node, d.Status, p.volumes())
			}
		}
		host := func(t *rapid.T) *moveHost {
			return p.hosts[rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"want": func(t *rapid.T) {
				p.want(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "node"), rapid.SampledFrom([]string{"default", "blocks"}).Draw(t, "pool"))
			},
			"lead":  func(*rapid.T) { p.lead() },
			"turn":  func(t *rapid.T) { host(t).turn() },
			"later": func(*rapid.T) { p.clock.Step(lastBackoff) },
			"turn, and death": func(t *rapid.T) {
				dying := host(t)
				left := rapid.IntRange(0, 60).Draw(t, "changes before it dies")
				after := rapid.Bool().Draw(t, "after the change")
				dying.set(func(string) (error, error) {
					if left--; left >= 0 {
						return nil, nil
					}
					if left == -1 && after {
						return nil, errDied
					}
					return errDied, nil
				})
				for _, node := range []string{"a", "b"} {
					p.hosts[node].turn()
				}
				if left < 0 {
					deaths++
				}
				dying.faultless()
				dying.restart()
			},
			"": func(*rapid.T) { check() },
		})
		p.settle()
		check()
		d := p.disk()
		node, pool := d.Wanted()
		if d.Status.NodeName != node || d.Status.PoolName != pool || d.Status.MoveTo != nil || !Ready(d) {
			t.Fatalf("it has not come to rest: %+v", d.Status)
		}
		if got := p.volumes(); len(got) != 1 || got[0] != node+"/"+pool+"/"+d.VolumeName() {
			t.Fatalf("there is %s: %+v", strings.Join(got, " "), d.Status)
		}
	})
	t.Logf("%d homes, %d deaths", moves, deaths)
	if moves < 10 || deaths == 0 {
		t.Error("the test has shown too little")
	}
}
