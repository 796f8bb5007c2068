// Package probes finds out whether guests serve, as spec.readinessProbe says, beside
// the VMs' turns, which see what was found out and never wait for it.
package probes

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// A Pod's probe has these by default.
	defaultPeriod  = 10 * time.Second
	defaultTimeout = time.Second
	defaultFailure = 3
	// sayAgain is how often at most another message is taken over of a guest that goes
	// on failing: each is a write of the VM.
	sayAgain = time.Minute
	// A guest chooses when it answers, and with that would have the API server written
	// to: it comes to serve serveBurst times at once, and then once in serveRefill.
	serveBurst  = 12
	serveRefill = time.Minute
)

// Target is what is probed.
type Target struct {
	// Life is libvirt's number of the guest, and Started when it was started.
	Life    int
	Started time.Time
	// Probe is as the VM has it.
	Probe v1alpha1.ReadinessProbe
	// Address is the guest's, and Port its number. Device, when set, is the host's by
	// which alone the guest is reached.
	Address netip.Addr
	Port    uint16
	Device  string
	// Problem says why there is no address or port; empty when there is.
	Problem string
}

// same says whether both are answered by the same guest in the same place.
func (t Target) same(other Target) bool {
	return t.Life == other.Life && t.Address == other.Address && t.Port == other.Port && t.Device == other.Device
}

// Verdict is what is known of a guest.
type Verdict int

// Verdicts.
const (
	// Pending: too few probes have been made by this process.
	Pending Verdict = iota
	Serves
	Fails
	// Unreachable: there is nothing that could be probed.
	Unreachable
)

// View is what is known of a guest, for its VM's turn.
type View struct {
	Verdict Verdict
	// Message is why it fails.
	Message string
}

// trial is what is known of one guest, and when to probe it. It is pure but for its
// limiter, which is told the time.
type trial struct {
	target Target
	view   View
	// row is how many results in a row have been good, or bad where that is below 0.
	row int
	// said is when the message was taken over.
	said time.Time
	// due is when to probe; zero is never. running is the number of the probe that is
	// being made, and 0 is none.
	due     time.Time
	running int
	serial  int
	limit   *rate.Limiter
}

func newTrial() *trial { return &trial{limit: rate.NewLimiter(rate.Every(serveRefill), serveBurst)} }

func or(seconds int32, otherwise time.Duration) time.Duration {
	if seconds <= 0 {
		return otherwise
	}
	return time.Duration(seconds) * time.Second
}

func (t *trial) period() time.Duration  { return or(t.target.Probe.PeriodSeconds, defaultPeriod) }
func (t *trial) timeout() time.Duration { return or(t.target.Probe.TimeoutSeconds, defaultTimeout) }

// observe takes over what the VM's turn has seen. spread has guests that have been
// running for long not probed together when this process starts.
func (t *trial) observe(target Target, now time.Time, spread func(time.Duration) time.Duration) {
	before := t.target
	fresh := before.Life != target.Life || t.serial == 0
	t.target = target
	switch {
	case target.Problem != "":
		t.view, t.row, t.due, t.running = View{Unreachable, target.Problem}, 0, time.Time{}, 0
		t.serial = max(t.serial, 1)
		return
	case fresh:
		t.view = View{}
	case before.Problem != "":
		// It had no address, and has one.
		t.view = View{}
	case before.same(target) && equal(before.Probe, target.Probe):
		return
	}
	// What was found out stands until the new address, or probe, has said otherwise as
	// often as it takes.
	t.row, t.running = 0, 0
	t.serial++
	t.due = target.Started.Add(or(target.Probe.InitialDelaySeconds, 0))
	if t.due.Before(now) {
		t.due = now
		if now.Sub(target.Started) > time.Minute {
			t.due = now.Add(spread(t.period()))
		}
	}
}

// begin says whether a probe is due, and its number.
func (t *trial) begin(now time.Time) (number int, is bool) {
	if t.due.IsZero() || t.running != 0 || now.Before(t.due) {
		return 0, false
	}
	t.serial++
	t.running = t.serial
	return t.running, true
}

// end takes over what came of the probe of the number; an empty failure is success. It
// says whether the view is another than before.
func (t *trial) end(number int, failure string, now time.Time) (changed bool) {
	if t.running != number || number == 0 {
		return false // it was of another guest, or place
	}
	t.running = 0
	t.due = now.Add(t.period())
	before := t.view
	if failure == "" {
		t.row = max(t.row, 0) + 1
		enough := t.row >= max(int(t.target.Probe.SuccessThreshold), 1)
		if enough && t.view.Verdict != Serves && t.limit.AllowN(now, 1) {
			t.view = View{Verdict: Serves}
		}
		return t.view != before
	}
	t.row = min(t.row, 0) - 1
	threshold := int(t.target.Probe.FailureThreshold)
	if threshold <= 0 {
		threshold = defaultFailure
	}
	switch {
	case -t.row < threshold:
	case t.view.Verdict != Fails || failure != t.view.Message && now.Sub(t.said) >= sayAgain:
		t.view, t.said = View{Fails, failure}, now
	}
	return t.view != before
}

func equal(a, b v1alpha1.ReadinessProbe) bool {
	if (a.TCPSocket == nil) != (b.TCPSocket == nil) || (a.HTTPGet == nil) != (b.HTTPGet == nil) {
		return false
	}
	if a.HTTPGet != nil {
		x, y := a.HTTPGet, b.HTTPGet
		if x.Path != y.Path || x.Scheme != y.Scheme || len(x.HTTPHeaders) != len(y.HTTPHeaders) {
			return false
		}
		for i := range x.HTTPHeaders {
			if x.HTTPHeaders[i] != y.HTTPHeaders[i] {
				return false
			}
		}
	}
	return a.InitialDelaySeconds == b.InitialDelaySeconds && a.PeriodSeconds == b.PeriodSeconds && a.TimeoutSeconds == b.TimeoutSeconds &&
		a.SuccessThreshold == b.SuccessThreshold && a.FailureThreshold == b.FailureThreshold
}
