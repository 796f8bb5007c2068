package podless

import "net/http"

// maxWritesInFlight keeps the scheduler's writes within the streams of one
// HTTP/2 connection (the API server allows 100). Beyond them Go opens more
// connections, whose handshakes took a fifth of the API server's CPU under load.
const maxWritesInFlight = 80

// LimitWrites lets at most max requests other than GET be in flight at a time.
// It wraps a rest.Config's transport; all clients made from that config share
// the limit.
func LimitWrites(max int) func(http.RoundTripper) http.RoundTripper {
	slots := make(chan struct{}, max)
	return func(next http.RoundTripper) http.RoundTripper {
		return &limitedTransport{next: next, slots: slots}
	}
}

type limitedTransport struct {
	next  http.RoundTripper
	slots chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (t *limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return t.next.RoundTrip(r)
	}
	select {
	case t.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	defer func() { <-t.slots }()
	return t.next.RoundTrip(r)
}

// WrappedRoundTripper lets callers find the transport beneath.
func (t *limitedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
