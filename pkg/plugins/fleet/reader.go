package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Reader returns a Fleet that knows all that f knows and counts by itself, from
// NodeInfos of another snapshot than the scheduler's: asking it changes nothing
// for who asks f. Only f may reserve.
//
// It has accounts of its own, since one snapshot's would push out the other's,
// and it ends no reservation: that a VM's Pod says its placement in one snapshot
// does not mean that it does so in the other.
func (f *Fleet) Reader() *Fleet {
	r := &Fleet{known: f.known, tried: &tried{}}
	r.OnDescribed(func(name string) {
		if r.host(name) == nil {
			r.accounts.Delete(name)
		}
	})
	return r
}

// tried are placements of VMs that do not exist, by the UIDs of their Pods.
type tried struct {
	byUID sync.Map // types.UID to *v1alpha1.Placement
}

// Try has a Reader count the Pod with this UID where the placement says, as if
// that were reserved for it; until EndTry.
func (f *Fleet) Try(uid types.UID, p *v1alpha1.Placement) { f.tried.byUID.Store(uid, p) }

// EndTry forgets what Try was told about a Pod.
func (f *Fleet) EndTry(uid types.UID) { f.tried.byUID.Delete(uid) }

// Tried counts what Try was told and EndTry was not: it falls to 0 with each
// answer, or something has leaked.
func (f *Fleet) Tried() int {
	n := 0
	f.tried.byUID.Range(func(any, any) bool { n++; return true })
	return n
}

// readPlacementOf is placementOf for a Reader.
func (f *Fleet) readPlacementOf(pod *corev1.Pod) *v1alpha1.Placement {
	if p, ok := f.tried.byUID.Load(pod.UID); ok {
		return p.(*v1alpha1.Placement)
	}
	if placement, err := f.placements.of(pod); placement != nil || err != nil {
		return placement
	}
	if reserved := f.reservations.get(pod.UID); reserved != nil {
		return reserved
	}
	// The scheduler may have seen already, in a newer snapshot, that the Pod says
	// its placement: then it was read before the reservation ended.
	return f.placements.known(pod.UID)
}
