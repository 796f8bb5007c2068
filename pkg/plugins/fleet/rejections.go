package fleet

import (
	"sync"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// Rejections makes the statuses of the hosts that have no room for one VM, in
// one cycle. Its words are made once for all hosts that lack the same: of each
// host there is only a Status, which the scheduler writes the plugin's name in,
// so that hosts cannot share it.
type Rejections struct {
	mu    sync.RWMutex
	words map[numa.HostLacks][]string
}

// Status is of a host that lacks this for the request.
func (r *Rejections) Status(code fwk.Code, request *numa.Request, lacks numa.HostLacks) *fwk.Status {
	r.mu.RLock()
	words, known := r.words[lacks]
	r.mu.RUnlock()
	if !known {
		for _, lack := range lacks.All() {
			words = append(words, lack.Reason(request))
		}
		r.mu.Lock()
		if r.words == nil {
			r.words = map[numa.HostLacks][]string{}
		}
		r.words[lacks] = words
		r.mu.Unlock()
	}
	// Of full length: whoever appends a reason gets a slice of his own.
	return fwk.NewStatus(code, words[:len(words):len(words)]...)
}
