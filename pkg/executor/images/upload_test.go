package images

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

// ReadVolume and VolumeLength implement libvirt.Storage with what the store keeps.
func (s *store) ReadVolume(_ context.Context, _, name string, offset, length int64, to libvirt.ContentSink) error {
	_, err := to.Write(s.get(name)[offset : offset+length])
	return err
}

func (s *store) VolumeLength(_ context.Context, _, name string) (int64, error) {
	return int64(len(s.get(name))), nil
}

var uploaded = types.NamespacedName{Namespace: "ns", Name: "image"}

// uploadPlace is a place with an image that is uploaded there, and a server that
// takes it.
type uploadPlace struct {
	*place
	url  string
	stop func()
}

func newUploadPlace(t *testing.T, format v1alpha1.DiskFormat, content []byte) *uploadPlace {
	t.Helper()
	p := &uploadPlace{place: newPlace(t, t.TempDir(), 64*gib), stop: func() {}}
	i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "image", UID: uid()}}
	i.Spec = v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{Upload: &v1alpha1.UploadOrigin{}}, Format: format, Checksum: sumOf(content)}
	if err := p.api.Create(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	i.Status.NodeName = node
	if err := p.api.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.images.Upload(w, r, uploaded) }))
	p.url = web.URL
	p.begin()
	t.Cleanup(func() { p.stop(); web.Close() })
	return p
}

// begin has a process that remembers nothing give turns by itself.
func (p *uploadPlace) begin() {
	p.stop()
	p.restart()
	if err := p.disks.LookAtPools(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	key := p.key()
	p.images.queue.Add(key)
	ctx, cancel := context.WithCancel(context.Background())
	ended, keeper := make(chan struct{}), p.images
	go func() { defer close(ended); keeper.Run(ctx) }()
	p.stop = func() {
		cancel()
		<-ended
		if err := keeper.quiet(context.Background(), key); err != nil { // a process's end is its requests'
			p.t.Error(err)
		}
	}
}

func (p *uploadPlace) key() libvirt.VolumeRef {
	return libvirt.VolumeRef{Pool: "default", Name: p.Image(context.Background(), uploaded).VolumeName()}
}

func (p *uploadPlace) dead() bool {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	return p.store.dead
}

// ask sends a request; length and body are of a PATCH.
func (p *uploadPlace) ask(method string, offset, total int64, body io.Reader) (status int, says string, there int64, whole bool) {
	p.t.Helper()
	// A process that has died answers nobody.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil && !p.dead() {
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	r, err := http.NewRequestWithContext(ctx, method, p.url, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if method == http.MethodPatch {
		r.ContentLength = max(total-offset, 0)
		r.Header.Set("Content-Type", transfer.TypePartialUpload)
		r.Header.Set(transfer.HeaderUploadOffset, strconv.FormatInt(offset, 10))
		r.Header.Set(transfer.HeaderUploadLength, strconv.FormatInt(total, 10))
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error(), 0, false
	}
	defer func() { _ = answer.Body.Close() }()
	words, _ := io.ReadAll(answer.Body)
	there, _ = strconv.ParseInt(answer.Header.Get(transfer.HeaderUploadOffset), 10, 64)
	return answer.StatusCode, strings.TrimSpace(string(words)), there, answer.Header.Get(transfer.HeaderUploadComplete) == transfer.UploadComplete
}

// upload sends content from where the host says, and returns the answer.
func (p *uploadPlace) upload(content []byte) (status int, says string) {
	p.t.Helper()
	status, says, there, whole := p.ask(http.MethodHead, 0, 0, nil)
	if status != http.StatusNoContent || whole {
		return status, says
	}
	there = min(there, int64(len(content)))
	status, says, _, _ = p.ask(http.MethodPatch, there, int64(len(content)), bytes.NewReader(content[there:]))
	return status, says
}

// says waits until the image says so.
func (p *uploadPlace) says(phase v1alpha1.ImagePhase, reason string) *v1alpha1.ImageCopy {
	p.t.Helper()
	var c *v1alpha1.ImageCopy
	for range 500 {
		if c = p.Image(context.Background(), uploaded).Status.CopyAt(node, "default"); c != nil && c.Phase == phase && c.Reason == reason {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("it says %+v, want %s %s", c, phase, reason)
	return nil
}

// cutOff is content that breaks off after some bytes.
func cutOff(content []byte, after int) io.Reader {
	return io.MultiReader(bytes.NewReader(content[:after]), failing{})
}

type failing struct{}

// Read implements io.Reader. What came before has arrived by then: a connection that is
// reset loses what has not been read.
func (failing) Read([]byte) (int, error) {
	time.Sleep(300 * time.Millisecond)
	return 0, io.ErrClosedPipe
}

// What is uploaded in parts is whole in the end, and stays although no disk needs it.
func TestAnUploadGoesOn(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 900_000)
	p := newUploadPlace(t, v1alpha1.DiskQCOW2, content)
	total := int64(len(content))
	if status, _, there, whole := p.ask(http.MethodHead, 0, 0, nil); status != http.StatusNoContent || there != 0 || whole {
		t.Fatalf("before anything: %d %d %v", status, there, whole)
	}
	p.ask(http.MethodPatch, 0, total, cutOff(content, 500_000))
	p.says(v1alpha1.ImageFetching, v1alpha1.ReasonUploadBrokenOff)
	_, _, there, _ := p.ask(http.MethodHead, 0, 0, nil)
	if there == 0 || there >= total {
		t.Fatalf("%d bytes are there after a break", there)
	}
	if status, says, at, _ := p.ask(http.MethodPatch, 0, total, bytes.NewReader(content)); status != http.StatusConflict || at != there {
		t.Errorf("from the wrong place: %d %s %d", status, says, at)
	}
	p.begin() // a process that remembers nothing
	p.ask(http.MethodPatch, there, total, cutOff(content[there:], 100_000))
	if _, _, now, _ := p.ask(http.MethodHead, 0, 0, nil); now <= there {
		t.Errorf("%d bytes are there after another part, and were %d before", now, there)
	}
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Fatalf("the rest: %d %s", status, says)
	}
	c := p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
	if c.Bytes != total || !bytes.Equal(p.store.get(p.key().Name), content) {
		t.Errorf("other bytes are there: %+v", c)
	}
	if status, _, at, whole := p.ask(http.MethodHead, 0, 0, nil); status != http.StatusNoContent || at != total || !whole {
		t.Errorf("when all is there: %d %d %v", status, at, whole)
	}
	// A second time nothing is written.
	if status, says, _, whole := p.ask(http.MethodPatch, 0, total, bytes.NewReader(content)); status != http.StatusNoContent || !whole {
		t.Errorf("once more: %d %s", status, says)
	}
	p.clock.Step(48 * time.Hour)
	p.begin()
	p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
	if !slices.Equal(p.volumes(), []string{p.key().Name}) {
		t.Errorf("there are %v", p.volumes())
	}
}

func nothing(n int64) io.Reader {
	if n <= 0 {
		return nil
	}
	return bytes.NewReader(make([]byte, n))
}

func TestUploadsThatAreRefused(t *testing.T) {
	good := contentOf(v1alpha1.DiskQCOW2, 300_000)
	other := slices.Clone(good)
	other[200_000]++
	backed := slices.Clone(good)
	backed[15] = 8 // an offset of a backing file's name
	for name, test := range map[string]struct {
		content []byte
		says    string
		reason  string
	}{
		"other bytes":      {other, "and spec.checksum is " + strings.TrimPrefix(sumOf(good), "sha256:"), v1alpha1.ReasonChecksumMismatch},
		"no qcow2":         {contentOf(v1alpha1.DiskRaw, 4096), "it does not begin as a file of format qcow2", v1alpha1.ReasonInvalidImage},
		"a backing file":   {backed, "it has a backing file", v1alpha1.ReasonInvalidImage},
		"too many of them": {append(slices.Clone(good), 0), "and spec.checksum is", v1alpha1.ReasonChecksumMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			p := newUploadPlace(t, v1alpha1.DiskQCOW2, good)
			status, says := p.upload(test.content)
			if status != http.StatusUnprocessableEntity || !strings.Contains(says, test.says) {
				t.Errorf("%d %s", status, says)
			}
			p.says(v1alpha1.ImageFailed, test.reason)
			if _, _, there, _ := p.ask(http.MethodHead, 0, 0, nil); there != 0 {
				t.Errorf("%d bytes are left", there)
			}
			if status, says := p.upload(good); status != http.StatusNoContent {
				t.Errorf("the right ones afterwards: %d %s", status, says)
			}
			p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
		})
	}
	t.Run("more than there is room for", func(t *testing.T) {
		p := newUploadPlace(t, v1alpha1.DiskQCOW2, good)
		status, says, _, _ := p.ask(http.MethodPatch, 0, 65*gib, cutOff(good, 200_000))
		if status != http.StatusInsufficientStorage && status != 0 {
			t.Errorf("%d %s", status, says)
		}
		p.says(v1alpha1.ImageFailed, v1alpha1.ReasonPoolFull)
	})
	t.Run("requests that make no sense", func(t *testing.T) {
		p := newUploadPlace(t, v1alpha1.DiskQCOW2, good)
		for _, test := range []struct {
			method        string
			offset, total int64
			status        int
		}{{http.MethodGet, 0, 0, 405}, {http.MethodPatch, -1, 5, 400}, {http.MethodPatch, 5, -1, 400}} {
			if status, says, _, _ := p.ask(test.method, test.offset, test.total, nothing(test.total-test.offset)); status != test.status {
				t.Errorf("%v: %d %s", test, status, says)
			}
		}
		i := p.Image(t.Context(), uploaded)
		i.Status.NodeName = "another"
		if err := p.api.Status().Update(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if status, says := p.upload(good); status != http.StatusMisdirectedRequest {
			t.Errorf("at another host: %d %s", status, says)
		}
	})
}

// A part that was not the beginning of what follows does not become the image.
func TestAPartOfSomethingElse(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 900_000)
	p := newUploadPlace(t, v1alpha1.DiskQCOW2, content)
	other := contentOf(v1alpha1.DiskQCOW2, 900_000)
	p.ask(http.MethodPatch, 0, int64(len(other)), cutOff(other, 500_000))
	if status, says := p.upload(content); status != http.StatusUnprocessableEntity {
		t.Errorf("on top of it: %d %s", status, says)
	}
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Errorf("from the beginning: %d %s", status, says)
	}
	p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
}

// An upload that hangs makes room for one that goes on with it.
func TestAnUploadIsTakenOver(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 900_000)
	p := newUploadPlace(t, v1alpha1.DiskQCOW2, content)
	reader, writer := io.Pipe()
	hung := make(chan string, 1)
	go func() {
		status, says, _, _ := p.ask(http.MethodPatch, 0, int64(len(content)), reader)
		hung <- fmt.Sprint(status, " ", says)
	}()
	if _, err := writer.Write(content[:400_000]); err != nil {
		t.Fatal(err)
	}
	p.says(v1alpha1.ImageFetching, v1alpha1.ReasonImageUploading)
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Errorf("%d %s", status, says)
	}
	_ = writer.CloseWithError(io.ErrClosedPipe)
	if got := <-hung; strings.HasPrefix(got, "204") {
		t.Errorf("the one that hung got %s", got)
	}
	p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
	if !bytes.Equal(p.store.get(p.key().Name), content) {
		t.Error("other bytes are there")
	}
}

// Whatever change the process dies before, amid or after: the client goes on, what is
// said to be whole is, and nothing is left beside it.
func TestUploadsSurviveDeaths(t *testing.T) {
	content := contentOf(v1alpha1.DiskRaw, 700_000)
	deaths := 0
	for _, after := range []bool{false, true} {
		for left := range 12 {
			p := newUploadPlace(t, v1alpha1.DiskRaw, content)
			p.store.mu.Lock()
			p.store.left, p.store.after = left, after
			p.store.mu.Unlock()
			p.ask(http.MethodPatch, 0, int64(len(content)), cutOff(content, 400_000))
			first, _ := p.upload(content)
			if p.dead() {
				deaths++
				_, whole, _ := p.images.measure(t.Context(), p.key())
				if first == http.StatusNoContent && !whole {
					t.Errorf("%d %v: it was said to be whole before it was", left, after)
				}
			}
			p.begin()
			if status, says := p.upload(content); status != http.StatusNoContent {
				t.Errorf("%d %v: gone on with: %d %s", left, after, status, says)
			}
			p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
			if !bytes.Equal(p.store.get(p.key().Name), content) || len(p.volumes()) != 1 {
				t.Errorf("%d %v: there are %v", left, after, p.volumes())
			}
		}
	}
	if deaths < 10 {
		t.Errorf("it died %d times", deaths)
	}
}

// A volume that is gone is said to be, and can be uploaded again; one whose object is
// gone goes.
func TestAnUploadedImageIsLost(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 300_000)
	p := newUploadPlace(t, v1alpha1.DiskQCOW2, content)
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, says)
	}
	p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
	key := p.key()
	if err := p.store.DeleteVolume(t.Context(), "default", key.Name); err != nil {
		t.Fatal(err)
	}
	p.begin()
	p.says(v1alpha1.ImageFailed, v1alpha1.ReasonImageLost)
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Fatalf("again: %d %s", status, says)
	}
	p.says(v1alpha1.ImageReady, v1alpha1.ReasonImageCached)
	p.delete(&v1alpha1.VirtualDiskImage{}, "image")
	p.images.queue.Add(key)
	for range 500 {
		if len(p.volumes()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left are %v", p.volumes())
}

// Hosts that have a disk to make of it fetch it from the host that has it, and nobody
// else does.
func TestOtherHostsFetchAnUpload(t *testing.T) {
	content := contentOf(v1alpha1.DiskQCOW2, 900_000)
	p := newUploadPlace(t, v1alpha1.DiskQCOW2, content)
	identities := map[string]*transfer.Identity{}
	servers := map[string]*transfer.Server{}
	for _, name := range []string{node, "other", "third"} {
		id, err := transfer.NewIdentity(name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		server, err := transfer.Listen(id, "127.0.0.1:0", "")
		if err != nil {
			t.Fatal(err)
		}
		identities[name], servers[name] = id, server
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		hv.Status.Transfer = &v1alpha1.HostTransfer{Address: server.Address, Certificate: id.PEM}
		if err := p.api.Create(t.Context(), hv); err != nil {
			t.Fatal(err)
		}
	}
	p.images.Peers = &transfer.Peers{Live: p.api, Identity: identities[node]}
	servers[node].Handle(p.images.Outgoing())
	go func() { _ = servers[node].Serve(t.Context()) }()
	fetch := func(as, self string, offset int64) ([]byte, error) {
		o := &peer{peers: &transfer.Peers{Live: p.api, Identity: identities[as]}, image: p.Image(t.Context(), uploaded), self: self}
		c, err := o.Open(t.Context(), offset, "")
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.Body.Close() }()
		if c.Total != int64(len(content)) || c.Offset != offset {
			return nil, fmt.Errorf("%d of %d", c.Offset, c.Total)
		}
		return io.ReadAll(c.Body)
	}
	p.disk("disk", v1alpha1.CloneFull)
	d := p.getDisk("disk")
	d.Status.NodeName = "other"
	if err := p.api.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch("other", "other", 0); err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("before it is there: %v", err)
	}
	if status, says := p.upload(content); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, says)
	}
	for _, offset := range []int64{0, 1, 700_001} {
		if got, err := fetch("other", "other", offset); err != nil || !bytes.Equal(got, content[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	if _, err := fetch("third", "third", 0); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a host that has no such disk: %v", err)
	}
	if _, err := fetch("third", "other", 0); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a host that says to be another: %v", err)
	}
}

func TestPlanOfUploads(t *testing.T) {
	image := &v1alpha1.VirtualDiskImage{}
	image.Spec.Source.Upload = &v1alpha1.UploadOrigin{}
	there := &libvirt.Volume{Name: "v"}
	for name, test := range map[string]struct {
		in    Situation
		steps []Step
		says  string
	}{
		"nothing yet":                       {in: Situation{Home: true}},
		"nothing, and a disk waits":         {in: Situation{Home: true, Waiting: 1}},
		"it is uploaded":                    {in: Situation{Home: true, Offered: true}, steps: []Step{StepMark, StepFetch, StepUnmark}, says: v1alpha1.ReasonImageUploading},
		"in part":                           {in: Situation{Home: true, Volume: there, Marked: true}, says: v1alpha1.ReasonUploadBrokenOff},
		"in part, in spite of a failure":    {in: Situation{Home: true, Volume: there, Marked: true, Offered: true, Memory: Memory{RetryAt: start.Add(time.Hour)}}, steps: []Step{StepMark, StepFetch, StepUnmark}, says: v1alpha1.ReasonImageUploading},
		"a mark alone":                      {in: Situation{Home: true, Marked: true}, steps: []Step{StepUnmark}},
		"whole, long unused":                {in: Situation{Home: true, Volume: there, Memory: Memory{UnusedSince: start.Add(-time.Hour)}}, says: v1alpha1.ReasonImageCached},
		"elsewhere, not uploaded":           {in: Situation{Waiting: 1, Awaited: true}},
		"elsewhere, uploaded":               {in: Situation{Waiting: 1}, steps: []Step{StepMark, StepFetch, StepUnmark}, says: v1alpha1.ReasonImageFetching},
		"a copy from elsewhere goes unused": {in: Situation{Volume: there, Memory: Memory{UnusedSince: start.Add(-time.Hour)}}, steps: []Step{StepRemove, StepWithdraw}},
	} {
		t.Run(name, func(t *testing.T) {
			in := test.in
			in.Node, in.Image, in.Pool, in.Now, in.Grace = node, image, &libvirt.Pool{Name: "default"}, start, time.Minute
			d := Plan(in)
			says := ""
			if d.Report != nil {
				says = d.Report.Reason
			}
			if !slices.Equal(d.Steps, test.steps) || says != test.says {
				t.Errorf("%+v", d)
			}
		})
	}
}
