package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// placements keeps the placements of bound VMs as read from their projected
// Pods: a host is counted anew whenever something on it changes, and reading
// all of its VMs' placements again would be most of that work.
type placements struct {
	byUID sync.Map // types.UID to readPlacement
}

type readPlacement struct {
	text      string
	placement *v1alpha1.Placement
}

// of returns the placement that the Pod carries; nil when it has none.
func (p *placements) of(pod *corev1.Pod) (*v1alpha1.Placement, error) {
	text := podless.PlacementTextOf(pod)
	if text == "" {
		return nil, nil
	}
	if known, ok := p.byUID.Load(pod.UID); ok && known.(readPlacement).text == text {
		return known.(readPlacement).placement, nil
	}
	placement, err := podless.ParsePlacement(text)
	if err != nil {
		return nil, err
	}
	p.byUID.Store(pod.UID, readPlacement{text: text, placement: placement})
	return placement, nil
}

// known is the placement last read for a UID; nil when none was.
func (p *placements) known(uid types.UID) *v1alpha1.Placement {
	if read, ok := p.byUID.Load(uid); ok {
		return read.(readPlacement).placement
	}
	return nil
}

func (p *placements) remove(uid types.UID) { p.byUID.Delete(uid) }
