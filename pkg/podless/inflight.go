package podless

import (
	"net/http"

	"domus.dev/domus/pkg/metrics"
)

// MaxWritesInFlight keeps the writes of scheduler and controllers within the
// streams of one HTTP/2 connection, of which the API server allows 100 and
// watches take some. Beyond them Go opens more connections: their handshakes
// took two fifths of the scheduler's CPU under load and a sixth of the API
// server's. More than this many is not faster either.
const MaxWritesInFlight = 32

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
	default:
		metrics.WriteDelayed()
		select {
		case t.slots <- struct{}{}:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	metrics.WriteBegun()
	defer func() {
		metrics.WriteEnded()
		<-t.slots
	}()
	return t.next.RoundTrip(r)
}

// WrappedRoundTripper lets callers find the transport beneath.
func (t *limitedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
