package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/tickets"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// host is one that takes an upload, or what of it comes before a break.
type host struct {
	t       *testing.T
	want    []byte
	has     []byte
	whole   bool
	patches int
	// cut is after how many bytes a request breaks off; never when 0.
	cut int64
	// refuse is a status that is answered instead.
	refuse int
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tell := func(status int) {
		w.Header().Set(transfer.HeaderUploadOffset, strconv.Itoa(len(h.has)))
		w.Header().Set(transfer.HeaderUploadComplete, transfer.UploadIncomplete)
		if h.whole {
			w.Header().Set(transfer.HeaderUploadComplete, transfer.UploadComplete)
		}
		w.WriteHeader(status)
	}
	switch {
	case h.refuse != 0:
		http.Error(w, "for a reason", h.refuse)
	case r.Method == http.MethodHead:
		tell(http.StatusNoContent)
	case r.Header.Get(transfer.HeaderUploadOffset) != strconv.Itoa(len(h.has)) || r.Header.Get(transfer.HeaderUploadLength) != strconv.Itoa(len(h.want)):
		h.t.Errorf("with %d bytes there: %v", len(h.has), r.Header)
		tell(http.StatusConflict)
	default:
		h.patches++
		from := io.Reader(r.Body)
		if h.cut > 0 {
			from = io.LimitReader(from, h.cut)
		}
		came, _ := io.ReadAll(from)
		h.has = append(h.has, came...)
		switch {
		case len(h.has) < len(h.want):
			panic(http.ErrAbortHandler)
		case !bytes.Equal(h.has, h.want):
			h.has = nil
			http.Error(w, "another checksum", http.StatusUnprocessableEntity)
			return
		}
		h.whole = true
		tell(http.StatusNoContent)
	}
}

// to is an uploader of content to the host.
func to(t *testing.T, h *host, content []byte, objects ...client.Object) *uploader {
	t.Helper()
	h.t, h.want = t, content
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	identity, err := transfer.NewIdentity("a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := transfer.Listen(identity, "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	hash := ""
	server.Handle(tickets.Pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); tickets.Hash(token) != hash {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	go func() { _ = server.Serve(t.Context()) }()
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			err := c.Create(ctx, o, opts...)
			if err != nil {
				return err
			}
			switch made := o.(type) {
			case *v1alpha1.TransferTicket: // as the host does
				made.Status.URL, made.Status.Certificate = "https://"+server.Address+tickets.Path(client.ObjectKeyFromObject(made)), identity.PEM
				hash = made.Spec.TokenSHA256
				return c.Update(ctx, made.DeepCopy())
			case *v1alpha1.VirtualDiskImage: // as vm-scheduler does
				made.Status.NodeName = "a"
				return c.Update(ctx, made.DeepCopy())
			}
			return nil
		},
	}).Build()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	progress := output.NewProgress(&bytes.Buffer{})
	t.Cleanup(func() {
		progress.Stop()
		list := &v1alpha1.TransferTicketList{}
		if err := api.List(context.Background(), list); err != nil || len(list.Items) > 0 {
			t.Errorf("tickets are left: %v, %v", list.Items, err)
		}
	})
	return &uploader{
		api: api, image: client.ObjectKey{Namespace: "ns", Name: "image"}, path: path, progress: progress,
		spec: v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{Upload: &v1alpha1.UploadOrigin{}}, Format: v1alpha1.DiskQCOW2},
	}
}

func noise(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rand.Uint32())
	}
	return out
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// What is cut off goes on where the host is, and an image that is there is not sent.
func TestAnUploadGoesOn(t *testing.T) {
	content := noise(3 << 20)
	h := &host{cut: 1 << 20}
	u := to(t, h, content)
	if err := u.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.patches != 3 || !h.whole {
		t.Errorf("%d requests, whole: %v", h.patches, h.whole)
	}
	image := &v1alpha1.VirtualDiskImage{}
	if err := u.api.Get(t.Context(), u.image, image); err != nil || image.Spec.Checksum != checksum(content) {
		t.Errorf("%v: %+v", err, image.Spec)
	}
	again := *u
	again.sent = 0
	if err := again.run(t.Context()); err != nil || again.did() != "is on host a already" || h.patches != 3 {
		t.Errorf("once more: %v: %s", err, again.did())
	}
}

// A part that is not the beginning of the file is sent anew.
func TestAnUploadBeginsAnew(t *testing.T) {
	h := &host{has: noise(1 << 20)}
	u := to(t, h, noise(2<<20))
	if err := u.run(t.Context()); err != nil || h.patches != 2 || !h.whole {
		t.Errorf("%v after %d requests", err, h.patches)
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	content := noise(1 << 10)
	for status, code := range map[int]failure.Code{http.StatusUnprocessableEntity: failure.Denied, http.StatusInsufficientStorage: failure.Denied, http.StatusNotFound: failure.Missing} {
		u := to(t, &host{refuse: status}, content)
		if err := u.run(t.Context()); failure.CodeOf(err) != code || !strings.Contains(err.Error(), "host a: for a reason") {
			t.Errorf("%d: %v", status, err)
		}
	}
	other := func(change func(*v1alpha1.VirtualDiskImage)) *v1alpha1.VirtualDiskImage {
		i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "image"}}
		i.Spec = v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{Upload: &v1alpha1.UploadOrigin{}}, Format: v1alpha1.DiskQCOW2, Checksum: checksum(content)}
		i.Status.NodeName = "a"
		change(i)
		return i
	}
	for says, change := range map[string]func(*v1alpha1.VirtualDiskImage){
		"is not uploaded but fetched": func(i *v1alpha1.VirtualDiskImage) {
			i.Spec.Source = v1alpha1.ImageOrigin{File: &v1alpha1.FileOrigin{Name: "f"}}
		},
		"is there with checksum":        func(i *v1alpha1.VirtualDiskImage) { i.Spec.Checksum = checksum(nil) },
		"is there with format raw":      func(i *v1alpha1.VirtualDiskImage) { i.Spec.Format = v1alpha1.DiskRaw },
		"is uploaded into storage pool": func(i *v1alpha1.VirtualDiskImage) { i.Spec.Source.Upload.PoolName = "p" },
		"is uploaded to host z":         func(i *v1alpha1.VirtualDiskImage) { i.Status.NodeName = "z" },
	} {
		h := &host{}
		u := to(t, h, content, other(change))
		u.spec.Source.Upload = &v1alpha1.UploadOrigin{NodeName: "a", PoolName: "default"}
		if err := u.run(t.Context()); failure.CodeOf(err) != failure.Denied || !strings.Contains(err.Error(), says) || h.patches > 0 {
			t.Errorf("want %s: %v", says, err)
		}
	}
	u := to(t, &host{}, nil)
	if err := u.run(t.Context()); failure.CodeOf(err) != failure.Denied || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty file: %v", err)
	}
}
