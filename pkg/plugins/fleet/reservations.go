package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
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
	byUID map[types.UID]reservation
}

// reservation is a placement, and the group that the VM is placed with.
type reservation struct {
	placement *v1alpha1.Placement
	// group is namespace and name of a PodGroup; empty for a VM that is placed
	// by itself.
	group string
}

// groupOf names the group that a VM is placed with.
func groupOf(pod *corev1.Pod) string {
	if g := pod.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		return pod.Namespace + "/" + *g.PodGroupName
	}
	return ""
}

func (r *reservations) get(uid types.UID) *v1alpha1.Placement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byUID[uid].placement
}

func (r *reservations) put(pod *corev1.Pod, p *v1alpha1.Placement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUID == nil {
		r.byUID = map[types.UID]reservation{}
	}
	r.byUID[pod.UID] = reservation{placement: p, group: groupOf(pod)}
}

func (r *reservations) remove(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byUID, uid)
}

// of lists what members of a group have reserved on a node, but those of the
// UIDs in without.
func (r *reservations) of(group, node string, without map[types.UID]bool) []*v1alpha1.Placement {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*v1alpha1.Placement
	for uid, held := range r.byUID {
		if held.group == group && held.placement.NodeName == node && !without[uid] {
			out = append(out, held.placement)
		}
	}
	return out
}

func (r *reservations) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byUID)
}
