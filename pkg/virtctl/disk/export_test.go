package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
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

// served is a host with one disk, which serves it as handler does, and the exporter
// for it.
func served(t *testing.T, path string, handler http.HandlerFunc) *exporter {
	t.Helper()
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
	var ticket v1alpha1.TransferTicket
	server.Handle(tickets.Pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if tickets.Hash(token) != ticket.Spec.TokenSHA256 {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		handler(w, r)
	}))
	go func() { _ = server.Serve(t.Context()) }()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data"}}
	d.Status.NodeName, d.Status.VolumeName = "a", "v"
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(d).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			err := c.Create(ctx, o, opts...)
			if made, ok := o.(*v1alpha1.TransferTicket); ok && err == nil { // as the host does
				made.Status.URL, made.Status.Certificate = "https://"+server.Address+tickets.Path(client.ObjectKeyFromObject(made)), identity.PEM
				ticket = *made
				err = c.Update(ctx, made.DeepCopy())
			}
			return err
		},
	}).Build()
	progress := output.NewProgress(&bytes.Buffer{})
	t.Cleanup(func() {
		progress.Stop()
		list := &v1alpha1.TransferTicketList{}
		if err := api.List(context.Background(), list); err != nil || len(list.Items) > 0 {
			t.Errorf("tickets are left: %v, %v", list.Items, err)
		}
	})
	return &exporter{api: api, disk: client.ObjectKeyFromObject(d), progress: progress, file: newFile(path)}
}

func random(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		if i < n/3 || i > n/2 {
			content[i] = byte(rand.Uint32())
		}
	}
	return content
}

// What is cut off is gone on with, and begun anew when the disk was written.
func TestAnExportGoesOn(t *testing.T) {
	content := random(5 << 20)
	path := filepath.Join(t.TempDir(), "data")
	version, requests, sent := `"one"`, 0, 0
	e := served(t, path, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("Etag", version)
		w.Header().Set(transfer.HeaderFormat, "raw")
		cut := &limited{ResponseWriter: w, left: 2 << 20, sent: &sent}
		http.ServeContent(cut, r, "", time.Time{}, bytes.NewReader(content))
		if requests == 2 {
			version, content = `"two"`, random(5<<20)
		}
		if cut.left == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	sum, err := e.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(content)
	if !bytes.Equal(got, content) || sum != hex.EncodeToString(want[:]) {
		t.Errorf("the file is not what the disk is")
	}
	// Two of the first content, three of the second.
	if requests != 5 || sent > 10<<20 {
		t.Errorf("it took %d requests and %d bytes", requests, sent)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// limited writes left bytes and swallows what comes then.
type limited struct {
	http.ResponseWriter
	left int
	sent *int
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p[:min(len(p), l.left)])
	l.left -= n
	*l.sent += n
	return len(p), err
}

func TestAnExportThatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   failure.Code
	}{
		"a guest has it": {http.StatusConflict, failure.Denied},
		"it is gone":     {http.StatusNotFound, failure.Missing},
		"no space":       {http.StatusInsufficientStorage, failure.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			requests := 0
			e := served(t, path, func(w http.ResponseWriter, _ *http.Request) {
				requests++
				http.Error(w, "VirtualMachine vm has it", test.status)
			})
			_, err := e.run(t.Context())
			if failure.CodeOf(err) != test.code || !strings.Contains(err.Error(), "host a: VirtualMachine vm has it") {
				t.Errorf("%v", err)
			}
			if left, _ := filepath.Glob(path + "*"); len(left) > 0 || requests != 1 {
				t.Errorf("left behind after %d requests: %v", requests, left)
			}
		})
	}
}

func TestTwoExportsIntoOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	one, two := newFile(path), newFile(path)
	if err := one.open(); err != nil {
		t.Fatal(err)
	}
	if err := two.open(); failure.CodeOf(err) != failure.Denied {
		t.Errorf("%v", err)
	}
	if err := one.close(); err != nil {
		t.Error(err)
	}
}
