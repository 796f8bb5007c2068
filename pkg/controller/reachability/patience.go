package reachability

import (
	"slices"
	"sync"
	"time"
)

const (
	// settle is how long a host has been away before it is said on its VMs: a
	// libvirtd that restarts is back in seconds. A silent executor has had its
	// grace before that; but where this process, or the API server, is back only
	// now, this has to be longer than it takes every host to renew its Lease, 10 s.
	settle = 15 * time.Second
	// longest bounds how long it is for a host that comes and goes.
	longest = 10 * time.Minute
	// remembered is how long an absence that was said makes the next one wait.
	remembered = time.Hour
	// confirmed is how long it counts that the API server itself says that a host
	// is away.
	confirmed = 10 * time.Second
)

// patience decides when absences are said. Each that was said within the hour
// doubles how long the next must have lasted, so that a host that comes and goes
// costs each of its VMs two writes for each of at most six absences in an hour,
// and of those that last more than ten minutes. What it remembers is lost with
// the process.
type patience struct {
	mu sync.Mutex
	// from is when this process began to look, or could again.
	from  time.Time
	hosts map[string]*history
}

// history is what is known of a host that was away.
type history struct {
	// away says that it is, and tainted is the time in its taint, by which one
	// absence is told from the next. since is when it began, as counted here.
	away           bool
	tainted, since time.Time
	// told says that this absence has been said, and said when those before it
	// were, and it.
	told bool
	said []time.Time
	// confirmedAt is when the API server was last asked about this absence.
	confirmedAt time.Time
}

// present takes note that a host can be asked.
func (p *patience) present(name string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	if h == nil {
		return
	}
	h.away, h.told = false, false
	if h.forget(now); len(h.said) == 0 {
		delete(p.hosts, name)
	}
}

// left is how long an absence has to last yet before it is said; not positive when
// it has.
func (p *patience) left(name string, tainted, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from.IsZero() {
		p.from = now
	}
	h := p.hosts[name]
	if h == nil {
		h = &history{}
		if p.hosts == nil {
			p.hosts = map[string]*history{}
		}
		p.hosts[name] = h
	}
	if !h.away || !h.tainted.Equal(tainted) {
		h.away, h.told, h.tainted, h.since, h.confirmedAt = true, false, tainted, tainted, time.Time{}
		if tainted.IsZero() || tainted.After(now) {
			h.since = now
		}
	}
	if h.since.Before(p.from) {
		h.since = p.from
	}
	if h.told {
		return 0
	}
	h.forget(now)
	wait := settle
	for range h.said {
		wait = min(2*wait, longest)
	}
	return h.since.Add(wait).Sub(now)
}

// tell takes note that an absence is said.
func (p *patience) tell(name string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[name]; h != nil && h.away && !h.told {
		h.told, h.said = true, append(h.said, now)
	}
}

// sure says whether the API server was asked lately whether the host is away.
func (p *patience) sure(name string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	return h != nil && !h.confirmedAt.IsZero() && now.Sub(h.confirmedAt) < confirmed
}

// confirm takes note that it says so.
func (p *patience) confirm(name string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[name]; h != nil {
		h.confirmedAt = now
	}
}

// anew has every absence settle again: the API server did not answer, and may not
// have answered hosts that are there.
func (p *patience) anew(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from = now
}

func (h *history) forget(now time.Time) {
	h.said = slices.DeleteFunc(h.said, func(at time.Time) bool { return now.Sub(at) >= remembered })
}
