package heartbeat

import (
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// voice is what is known of a host by its Lease.
type voice int

const (
	// unknown: this process has not watched the host for long enough.
	unknown voice = iota
	// heard: it renews its Lease.
	heard
	// silent: it has not for Grace.
	silent
)

// sighting is a renewal as it was seen here.
type sighting struct {
	// renewed is the time in the Lease, by its host's clock, and at is when it was
	// first seen, by ours.
	renewed, at time.Time
	// version is the Lease's.
	version string
	// again says that it is not the first that this process has seen of the host.
	again bool
}

// newerThan says that what was seen is newer than the Lease, which a cache was
// slow to forget. Times alone do not tell, since a host's clock may be set back,
// nor do versions, which are counted anew when the API server's data was restored
// from a backup.
func (s sighting) newerThan(lease *coordinationv1.Lease) bool {
	order, err := resourceversion.CompareResourceVersion(lease.ResourceVersion, s.version)
	return err == nil && order < 0 && Renewed(lease).Before(s.renewed)
}

// sightings are the newest of each host.
type sightings struct {
	mu sync.Mutex
	of map[string]sighting
}

// see takes note of a Lease, and returns what is known of its host and how long
// until it is silent.
func (s *sightings) see(lease *coordinationv1.Lease, now time.Time) (voice, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	renewed := Renewed(lease)
	last, known := s.of[lease.Name]
	if !known || !last.renewed.Equal(renewed) && !last.newerThan(lease) {
		last = sighting{renewed: renewed, at: now, version: lease.ResourceVersion, again: known}
		if s.of == nil {
			s.of = map[string]sighting{}
		}
		s.of[lease.Name] = last
	}
	left := last.at.Add(Grace).Sub(now)
	switch {
	case left <= 0:
		return silent, 0
	case last.again, now.Sub(renewed) < Grace:
		return heard, left
	}
	return unknown, left
}

// anew gives every host its grace again: nobody could be heard until now.
func (s *sightings) anew(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, last := range s.of {
		s.of[name] = sighting{renewed: last.renewed, at: now, version: last.version}
	}
}

// forget drops a host that has no Lease.
func (s *sightings) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, name)
}

// Renewed is when the Lease was last renewed, by its host's clock.
func Renewed(lease *coordinationv1.Lease) time.Time {
	if lease.Spec.RenewTime != nil {
		return lease.Spec.RenewTime.Time
	}
	return lease.CreationTimestamp.Time
}
