package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// pieces cuts content into data and holes, wherever it likes.
func pieces(content []byte, next func(left int) (length int, hole bool), data func([]byte), hole func(int64)) {
	for len(content) > 0 {
		n, skip := next(len(content))
		piece := content[:n]
		content = content[n:]
		if skip && Zero(piece) {
			hole(int64(n))
		} else {
			data(piece)
		}
	}
}

// Content comes through frames as it was, in pieces of any length, and has the same
// digest wherever its holes are.
func TestContentIsWhatItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := make([]byte, rapid.IntRange(0, 3*blockSize).Draw(t, "length"))
		for range rapid.IntRange(0, 4).Draw(t, "written") {
			if len(content) > 0 {
				content[rapid.IntRange(0, len(content)-1).Draw(t, "at")] = 1
			}
		}
		next := func(left int) (int, bool) {
			return rapid.IntRange(1, left).Draw(t, "piece"), rapid.Bool().Draw(t, "hole")
		}
		var wire bytes.Buffer
		frames, sum := NewFrameWriter(&wire), NewDigest()
		pieces(content, next, func(p []byte) {
			_, _ = frames.Write(p)
			_, _ = sum.Write(p)
		}, func(n int64) {
			_ = frames.Hole(n)
			_ = sum.Hole(n)
		})
		want := sum.Sum()
		if err := frames.Close(want); err != nil {
			t.Fatal(err)
		}
		all := wire.Bytes()
		reader := NewFrameReader(bytes.NewReader(all))
		var got []byte
		for {
			data, hole, err := reader.Next(int64(rapid.IntRange(1, blockSize).Draw(t, "limit")))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(append(got, data...), make([]byte, hole)...)
		}
		if !bytes.Equal(got, content) || !bytes.Equal(reader.Digest(), want) {
			t.Fatalf("%d bytes came of %d, or others", len(got), len(content))
		}
		plain := NewDigest()
		_, _ = plain.Write(content)
		if !bytes.Equal(plain.Sum(), want) {
			t.Fatal("the digest depends on where the holes are")
		}
		if len(content) > 0 {
			content[len(content)/2]++
			other := NewDigest()
			_, _ = other.Write(content)
			if bytes.Equal(other.Sum(), want) {
				t.Fatal("other content has the same digest")
			}
		}
		// Cut off anywhere it is not taken for whole.
		cut := NewFrameReader(bytes.NewReader(all[:rapid.IntRange(0, len(all)-1).Draw(t, "cut")]))
		for {
			if _, _, err := cut.Next(blockSize); err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("cut off, it ends with %v", err)
				}
				break
			}
		}
	})
}

func TestDigestsOfDifferentLengths(t *testing.T) {
	sums := map[string]int64{}
	for _, n := range []int64{0, 1, blockSize - 1, blockSize, blockSize + 1, 1 << 50} {
		d := NewDigest()
		_ = d.Hole(n)
		sum := string(d.Sum())
		if other, is := sums[sum]; is {
			t.Errorf("%d zeros have the digest of %d", n, other)
		}
		sums[sum] = n
	}
}

func TestWhatAreNoFrames(t *testing.T) {
	for _, wire := range []string{"X00000001", "D\x00\x00\x00\x00\x7f\xff\xff\xffdata", "H\xff\xff\xff\xff\xff\xff\xff\xff", "E\x00\x00\x00\x00\x00\x00\x00\x01x"} {
		if _, _, err := NewFrameReader(strings.NewReader(wire)).Next(10); !errors.Is(err, ErrFrames) {
			t.Errorf("%q: %v", wire, err)
		}
	}
}

// A host is known by the certificate that its Hypervisor names, in both directions.
func TestHostsKnowEachOther(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	api := fake.NewClientBuilder().WithScheme(scheme).Build()
	identities := map[string]*Identity{}
	for _, node := range []string{"a", "b", "impostor"} {
		identity, err := NewIdentity(node, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		identities[node] = identity
	}
	server, err := Listen(identities["b"], "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	target := &Peers{Live: api, Identity: identities["b"]}
	server.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := target.Is(r.Context(), "a", r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	go func() { _ = server.Serve(ctx) }()
	for node, at := range map[string]string{"a": "127.0.0.1:1", "b": server.Address, "changed": server.Address} {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: node}}
		certificate := identities["impostor"].PEM
		if identities[node] != nil {
			certificate = identities[node].PEM
		}
		hv.Status.Transfer = &v1alpha1.HostTransfer{Address: at, Certificate: certificate}
		if err := api.Create(ctx, hv); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		caller *Identity
		node   string
		want   string
	}{
		"the host that is expected":             {identities["a"], "b", "200 OK"},
		"another host":                          {identities["impostor"], "b", "403 Forbidden"},
		"nobody":                                {nil, "b", "403 Forbidden"},
		"a host that shows another certificate": {identities["a"], "changed", "certificate"},
		"a host that there is not":              {identities["a"], "none", "there is no Hypervisor none"},
	} {
		t.Run(name, func(t *testing.T) {
			peers := &Peers{Live: api, Identity: test.caller}
			client, base, err := peers.Call(ctx, test.node)
			got := ""
			if err == nil {
				defer client.CloseIdleConnections()
				var response *http.Response
				if response, err = client.Get(base + "/"); err == nil {
					_ = response.Body.Close()
					got = response.Status
				}
			}
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestWhereAHostIsReached(t *testing.T) {
	for _, test := range []struct{ listening, advertise, want string }{
		{"10.0.0.7:8445", "", "10.0.0.7:8445"},
		{"[::]:8445", "host-a", "host-a:8445"},
		{"[::]:8445", "host-a:9000", "host-a:9000"},
		{"[::]:8445", "host-a:0", "host-a:8445"},
		{"[::]:8445", "", ""},
	} {
		got, err := reached(test.listening, test.advertise)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s, advertised as %q: %q, %v", test.listening, test.advertise, got, err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	content := make([]byte, 16<<20)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		_, _ = NewDigest().Write(content)
	}
}
