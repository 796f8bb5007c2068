package executor

import (
	"errors"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// askEvery is how often an agent is asked although nothing was heard of it,
	// stretched by up to askJitter so that guests are not asked together.
	askEvery  = 5 * time.Minute
	askJitter = 0.5
	// While a guest has no address, it is asked again after firstAsk, doubling up
	// to lastAsk, soonAsks times: DHCP takes a while. When it has said something
	// new it is asked again after lastAsk: addresses come one by one.
	firstAsk = 2 * time.Second
	lastAsk  = 30 * time.Second
	soonAsks = 8
	// askRetry is when one that did not answer is asked again, doubling up to
	// askEvery. silentAfter failures in a row are silence; one may be a guest
	// that is short of CPU.
	askRetry    = 10 * time.Second
	silentAfter = 2
	// closedFor is how long the channel has to stay closed to be called silent:
	// an agent that is started again is away for a moment.
	closedFor = 10 * time.Second
	// A guest chooses when its agent comes and goes, and with that would have the
	// API server written to: askBurst times at once, and then once in askRefill.
	askBurst  = 12
	askRefill = time.Minute
)

// inquiry is what is known of one guest's agent, and when to ask it. It is pure
// but for its limiter, which is told the time too.
type inquiry struct {
	owner types.NamespacedName
	// life is libvirt's number of the guest that all below is about.
	life int
	// channel is the agent's, as last seen, and since is when it was first seen
	// so.
	channel libvirt.AgentState
	since   time.Time
	// runs: the guest's CPUs do not stand still.
	runs bool
	// said is the guest's last answer, failures counts those that it has owed
	// since, and answers is how many it gave since the channel was opened.
	said     *v1alpha1.GuestStatus
	failures int
	answers  int
	// due is when to ask; zero is never.
	due   time.Time
	limit *rate.Limiter
}

func newInquiry(owner types.NamespacedName) *inquiry {
	return &inquiry{owner: owner, limit: rate.NewLimiter(rate.Every(askRefill), askBurst)}
}

// observe takes over a look at the domain.
func (q *inquiry) observe(d libvirt.Domain, now time.Time) {
	if q.life != d.ID {
		*q = inquiry{owner: q.owner, limit: q.limit, life: d.ID}
	}
	if q.channel != d.Agent || q.since.IsZero() {
		q.channel, q.since = d.Agent, now
		q.failures, q.answers = 0, 0
		q.due = time.Time{}
	}
	q.runs = d.State == libvirt.StateRunning
	switch {
	case !q.runs || q.channel != libvirt.AgentOpen:
		q.due = time.Time{}
	case q.due.IsZero():
		q.askAt(now, now)
	}
}

// askAt asks at the time, or as soon after it as the limit allows.
func (q *inquiry) askAt(at, now time.Time) {
	q.due = at
	if short := 1 - q.limit.TokensAt(now); short > 0 {
		if free := now.Add(time.Duration(short * float64(askRefill))); free.After(at) {
			q.due = free
		}
	}
}

// begin says whether to ask now, and counts it.
func (q *inquiry) begin(now time.Time) bool {
	if q.due.IsZero() || q.due.After(now) {
		return false
	}
	if !q.limit.AllowN(now, 1) {
		q.askAt(now, now)
		return false
	}
	return true
}

// answered takes over an answer, and says whether it changes what is reported.
// jitter stretches a time by chance.
func (q *inquiry) answered(said *v1alpha1.GuestStatus, now time.Time, jitter func(time.Duration) time.Duration) bool {
	news := !equality.Semantic.DeepEqual(q.said, said)
	changed := news || q.answers == 0 || q.failures >= silentAfter
	q.said, q.failures = said, 0
	q.answers++
	wait := jitter(askEvery)
	switch {
	case said.Addresses == "" && q.answers <= soonAsks:
		wait = min(firstAsk<<(q.answers-1), lastAsk)
	case news:
		wait = lastAsk
	}
	q.askAt(now.Add(wait), now)
	return changed
}

// failed takes over that there was no answer, and says as answered does.
func (q *inquiry) failed(err error, now time.Time) bool {
	wait := askRetry
	if !errors.Is(err, libvirt.ErrUnavailable) { // which says nothing of the guest
		q.failures++
		wait = min(askRetry<<min(q.failures-1, 10), askEvery)
	}
	q.askAt(now.Add(wait), now)
	return q.failures == silentAfter
}

// view is what there is to report.
func (q *inquiry) view(now time.Time) plan.GuestView {
	v := plan.GuestView{Channel: q.channel, Said: q.said}
	switch {
	case q.channel == libvirt.AgentClosed && now.Sub(q.since) >= closedFor:
		v.Voice = plan.VoiceSilent
	case q.channel != libvirt.AgentOpen:
	case q.failures >= silentAfter:
		v.Voice = plan.VoiceSilent
	case q.answers > 0:
		v.Voice = plan.VoiceAnswers
	}
	return v
}

// lookAgain is when the view changes although nothing happens; 0 is never.
func (q *inquiry) lookAgain(now time.Time) time.Duration {
	if q.channel != libvirt.AgentClosed {
		return 0
	}
	return max(q.since.Add(closedFor).Sub(now), 0)
}
