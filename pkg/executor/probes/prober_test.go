package probes

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// outward is an address of this machine that guests could have, for servers in tests.
func outward(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() && p.Addr().Is4() {
			return p.Addr()
		}
	}
	t.Fatal("this machine has no address but its loopback's")
	return netip.Addr{}
}

// elsewhere is a Prober that takes this machine for a guest.
var elsewhere = Prober{own: func() ([]net.Addr, error) { return nil, nil }}

func listen(t *testing.T) (net.Listener, Target) {
	t.Helper()
	ip := outward(t)
	l, err := net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, Target{Life: 1, Address: ip, Port: netip.MustParseAddrPort(l.Addr().String()).Port(), Probe: v1alpha1.ReadinessProbe{TCPSocket: &v1alpha1.TCPSocketProbe{Port: intstr.FromInt32(1)}}}
}

// page serves the handler; probe probes the path of it.
func page(t *testing.T, secure bool, handler http.HandlerFunc) (probe func(change ...func(*v1alpha1.HTTPGetProbe)) string) {
	t.Helper()
	l, target := listen(t)
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	s.Listener = l
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return func(change ...func(*v1alpha1.HTTPGetProbe)) string {
		get := &v1alpha1.HTTPGetProbe{}
		if secure {
			get.Scheme = "HTTPS"
		}
		for _, c := range change {
			c(get)
		}
		target.Probe = v1alpha1.ReadinessProbe{HTTPGet: get}
		return elsewhere.Probe(t.Context(), target, 5*time.Second)
	}
}

func TestTCP(t *testing.T) {
	l, target := listen(t)
	if got := elsewhere.Probe(t.Context(), target, 5*time.Second); got != "" {
		t.Errorf("a port that is open: %s", got)
	}
	_ = l.Close()
	if got := elsewhere.Probe(t.Context(), target, 5*time.Second); !strings.Contains(got, "connection refused") {
		t.Errorf("a port that is closed: %q", got)
	}
}

func TestHTTP(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	handler := func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Clone(r.Context()))
		switch r.URL.Path {
		case "/", "/well":
			w.WriteHeader(http.StatusNoContent)
		case "/away":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case "/huge":
			for range 1 << 10 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("what the guest says"))
		}
	}
	for _, secure := range []bool{false, true} {
		probe := page(t, secure, handler)
		path := func(p string) func(*v1alpha1.HTTPGetProbe) { return func(g *v1alpha1.HTTPGetProbe) { g.Path = p } }
		if got := probe(); got != "" || asked.Load().URL.Path != "/" {
			t.Errorf("the default path: %q", got)
		}
		if got := probe(path("/away")); got != "" || asked.Load().URL.Path != "/away" {
			t.Errorf("a redirection is an answer and leads nowhere: %q, then asked for %s", got, asked.Load().URL)
		}
		if got := probe(path("/huge")); got != "" {
			t.Errorf("a large page: %q", got)
		}
		if got := probe(path("/ill")); got != "HTTP probe failed with statuscode: 503" {
			t.Errorf("a page that fails: %q", got)
		}
		got := probe(path("/well?deep=1"), func(g *v1alpha1.HTTPGetProbe) {
			g.HTTPHeaders = []v1alpha1.HTTPHeader{{Name: "Host", Value: "shop.example"}, {Name: "X-Probe", Value: "yes"}}
		})
		if r := asked.Load(); got != "" || r.Host != "shop.example" || r.Header.Get("X-Probe") != "yes" || r.Header.Get("User-Agent") != "domus-probe" || r.URL.Query().Get("deep") != "1" {
			t.Errorf("%q; asked %s %v", got, r.Host, r.Header)
		}
	}
}

// The host is not asked to go where a URL or a guest would have it.
func TestAProbeGoesToTheGuestAlone(t *testing.T) {
	_, target := listen(t)
	if got := (Prober{}).Probe(t.Context(), target, time.Second); !strings.Contains(got, "is an address of the host itself") {
		t.Errorf("an address of the host: %q", got)
	}
	for _, ip := range []string{"127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1", "fe80::1"} {
		away := target
		away.Address = netip.MustParseAddr(ip)
		if got := elsewhere.Probe(t.Context(), away, time.Second); !strings.Contains(got, "is no address of a guest") {
			t.Errorf("%s: %q", ip, got)
		}
	}
	bound := target
	bound.Device = "vn-not-there"
	if got := elsewhere.Probe(t.Context(), bound, time.Second); !strings.Contains(got, "the host has no device vn-not-there") {
		t.Errorf("a device that is not there: %q", got)
	}
	hits := atomic.Int32{}
	probe := page(t, false, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, path := range []string{"//127.0.0.1:1/x", "/\\127.0.0.1/", "/@127.0.0.1:1/"} {
		before := hits.Load()
		if got := probe(func(g *v1alpha1.HTTPGetProbe) { g.Path = path }); got != "" || hits.Load() != before+1 {
			t.Errorf("path %s: %q, %d", path, got, hits.Load()-before)
		}
	}
}

func TestAProbeEndsInTime(t *testing.T) {
	hang := make(chan struct{})
	l, silent := listen(t)
	go func() { // accepts, and says nothing
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { <-hang; _ = c.Close() }()
		}
	}()
	defer close(hang)
	silent.Probe = v1alpha1.ReadinessProbe{HTTPGet: &v1alpha1.HTTPGetProbe{}}
	began := time.Now()
	if got := elsewhere.Probe(t.Context(), silent, 300*time.Millisecond); !strings.HasPrefix(got, "no answer from ") || !strings.HasSuffix(got, "within 300ms") {
		t.Errorf("got %q", got)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestWhatAGuestSaysIsOneLine(t *testing.T) {
	l, target := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("\x1b[31m\nnot HTTP " + strings.Repeat("x", 1000) + "\r\n\r\n"))
			_ = c.Close()
		}
	}()
	target.Probe = v1alpha1.ReadinessProbe{HTTPGet: &v1alpha1.HTTPGetProbe{}}
	got := elsewhere.Probe(t.Context(), target, 5*time.Second)
	if got == "" || len(got) > 256 || strings.ContainsAny(got, "\n\x1b\r") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
