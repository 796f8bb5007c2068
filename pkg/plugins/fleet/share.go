package fleet

import (
	"reflect"
	"sync"

	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// maxShared is how many lists of kinds of guest Share remembers: as many as a
// fleet has sorts of hosts, mostly a few.
const maxShared = 16

// Share returns a transform for the informer of Hypervisors. Hosts of one sort
// list the same kinds of guest, hundreds of names each: they share them in
// memory, which saves most of a Hypervisor's, and a VM that is compared with
// thousands of hosts reads what it has just read. It also drops the managed
// fields.
func Share() cache.TransformFunc {
	s := &shared{}
	return func(obj any) (any, error) {
		if hv, ok := obj.(*v1alpha1.Hypervisor); ok {
			hv.ManagedFields = nil
			hv.Status.DomainTypes = s.like(hv.Status.DomainTypes)
		}
		return obj, nil
	}
}

// shared are the lists that were seen last.
type shared struct {
	mu     sync.Mutex
	recent [maxShared][]v1alpha1.DomainType
	next   int
}

// like returns an equal list that was seen before, or else remembers this one.
func (s *shared) like(types []v1alpha1.DomainType) []v1alpha1.DomainType {
	if len(types) == 0 {
		return types
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.recent {
		if reflect.DeepEqual(known, types) {
			return known
		}
	}
	s.recent[s.next] = types
	s.next = (s.next + 1) % maxShared
	return types
}
