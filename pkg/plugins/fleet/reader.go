package fleet

import (
	corev1 "k8s.io/api/core/v1"

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
	r := &Fleet{known: f.known, reads: true}
	r.OnDescribed(func(name string) {
		if r.host(name) == nil {
			r.accounts.Delete(name)
		}
	})
	return r
}

// readPlacementOf is placementOf for a Reader.
func (f *Fleet) readPlacementOf(pod *corev1.Pod) *v1alpha1.Placement {
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
