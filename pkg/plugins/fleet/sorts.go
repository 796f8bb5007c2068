package fleet

import (
	"sync"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// maxSorts is how many sorts of hosts are asked at most: beyond it, asking each
// host that is looked at is no dearer.
const maxSorts = 32

// sorts are the hosts by the kinds of guest that they list. Hosts of one sort
// share the list in memory; see Share.
type sorts struct {
	mu     sync.RWMutex
	byList map[*v1alpha1.DomainType]*sort
}

type sort struct {
	hosts int
	// status has the list alone.
	status v1alpha1.HypervisorStatus
}

// listOf identifies a list; nil is the empty one.
func listOf(hv *v1alpha1.Hypervisor) *v1alpha1.DomainType {
	if len(hv.Status.DomainTypes) == 0 {
		return nil
	}
	return &hv.Status.DomainTypes[0]
}

func (s *sorts) add(hv *v1alpha1.Hypervisor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byList == nil {
		s.byList = map[*v1alpha1.DomainType]*sort{}
	}
	key := listOf(hv)
	if s.byList[key] == nil {
		s.byList[key] = &sort{status: v1alpha1.HypervisorStatus{DomainTypes: hv.Status.DomainTypes}}
	}
	s.byList[key].hosts++
}

func (s *sorts) remove(hv *v1alpha1.Hypervisor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := listOf(hv)
	if s.byList[key] == nil {
		return
	}
	if s.byList[key].hosts--; s.byList[key].hosts == 0 {
		delete(s.byList, key)
	}
}

// EverySort says whether is holds of each list of kinds of guest that hosts
// have; the status that it is given holds nothing else. It is false when there
// are too many to ask, and true when there are no hosts.
func (f *Fleet) EverySort(is func(*v1alpha1.HypervisorStatus) bool) bool {
	f.sorts.mu.RLock()
	defer f.sorts.mu.RUnlock()
	if len(f.sorts.byList) > maxSorts {
		return false
	}
	for _, s := range f.sorts.byList {
		if !is(&s.status) {
			return false
		}
	}
	return true
}
