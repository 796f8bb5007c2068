package fleet

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// reservations are the placements that Reserve has chosen, by the UID of the
// projected Pod (that is, by VM and epoch). The scheduler's cache holds such a
// VM as assumed and does not know its cells. A reservation ends when the Pod
// itself is seen to carry the placement, when the binding fails, or with the
// epoch.
type reservations struct {
	mu    sync.Mutex
	byUID map[types.UID]*v1alpha1.Placement
}

func (r *reservations) get(uid types.UID) *v1alpha1.Placement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byUID[uid]
}

func (r *reservations) put(uid types.UID, p *v1alpha1.Placement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUID == nil {
		r.byUID = map[types.UID]*v1alpha1.Placement{}
	}
	r.byUID[uid] = p
}

func (r *reservations) remove(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byUID, uid)
}

// on lists the reservations on a node, but those of the UIDs in without.
func (r *reservations) on(node string, without map[types.UID]bool) []*v1alpha1.Placement {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*v1alpha1.Placement
	for uid, p := range r.byUID {
		if p.NodeName == node && !without[uid] {
			out = append(out, p)
		}
	}
	return out
}

func (r *reservations) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byUID)
}
