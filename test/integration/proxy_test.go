package integration

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// faultyAPI stands between a scheduler and the API server and does what
// networks do.
type faultyAPI struct {
	server *httptest.Server
	target http.RoundTripper

	mu sync.Mutex
	// onStatus sees each write of a VM's status. It may wait, forward, or fail.
	onStatus func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error)
	watches  map[*http.Request]context.CancelFunc
	// expired is how many watches of VMs are still to be told that their
	// version is too old, which makes the watcher list anew.
	expired int
}

func newFaultyAPI(t *testing.T, cfg *rest.Config) *faultyAPI {
	t.Helper()
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(cfg.Host)
	if err != nil {
		t.Fatal(err)
	}
	if base.Scheme == "" {
		base = &url.URL{Scheme: "https", Host: cfg.Host}
	}
	f := &faultyAPI{target: transport, watches: map[*http.Request]context.CancelFunc{}}
	proxy := httputil.NewSingleHostReverseProxy(base)
	proxy.Transport = f
	proxy.FlushInterval = -1
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		// As if the connection broke: no answer at all.
		if hijacker, ok := w.(http.Hijacker); ok {
			if conn, _, err := hijacker.Hijack(); err == nil {
				_ = conn.Close()
			}
		}
	}
	f.server = httptest.NewServer(proxy)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// RoundTrip implements http.RoundTripper.
func (f *faultyAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") != "" {
		if f.takeExpired(r) {
			return gone(r), nil
		}
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		f.mu.Lock()
		f.watches[r] = cancel
		f.mu.Unlock()
	}
	f.mu.Lock()
	hook := f.onStatus
	f.mu.Unlock()
	isStatus := (r.Method == http.MethodPatch || r.Method == http.MethodPut) && strings.Contains(r.URL.Path, "/virtualmachines/") && strings.HasSuffix(r.URL.Path, "/status")
	if hook != nil && isStatus {
		// A server notices that its client has gone only once the body is read.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return hook(r, func() (*http.Response, error) { return f.target.RoundTrip(r) })
	}
	return f.target.RoundTrip(r)
}

// interceptStatus sets what happens to writes of VM statuses; nil lets them pass.
func (f *faultyAPI) interceptStatus(hook func(*http.Request, func() (*http.Response, error)) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onStatus = hook
}

// expireWatches makes the next n watches of VMs fail as too old.
func (f *faultyAPI) expireWatches(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expired = n
}

// leftToExpire is how many of them have not been asked for yet.
func (f *faultyAPI) leftToExpire() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.expired
}

func (f *faultyAPI) takeExpired(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expired == 0 || !strings.HasSuffix(r.URL.Path, "/virtualmachines") {
		return false
	}
	f.expired--
	return true
}

func gone(r *http.Request) *http.Response {
	body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}`
	return &http.Response{
		StatusCode: http.StatusGone, Status: "410 Gone", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": []string{"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// breakWatches ends every watch that is open.
func (f *faultyAPI) breakWatches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.watches)
	for r, cancel := range f.watches {
		cancel()
		delete(f.watches, r)
	}
	return n
}
