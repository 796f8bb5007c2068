package hostheadroom

import "sync"

// neediest is the failure with the largest sum of VMs, looked up when a reason
// is to name it. Filter asks for it in parallel.
type neediest struct {
	mu      sync.Mutex
	version uint64
	failure *failure
}

func (p *planner) neediestFailure() *failure {
	n := &p.neediest
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.version != p.version {
		n.version, n.failure = p.version, nil
		for _, h := range p.order {
			if n.failure == nil || larger(h.failure.need, n.failure.need) {
				n.failure = h.failure
			}
		}
	}
	return n.failure
}
