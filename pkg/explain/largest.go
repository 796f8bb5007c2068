package explain

import (
	"cmp"
	"context"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
)

// largestSizes are the largest VMs of the shape that fit: on any host, and on
// some by their places in a list. nil where not even the smallest does.
type largestSizes struct {
	ofFleet *v1alpha1.PlacementSize
	ofHosts []*v1alpha1.PlacementSize
}

// largest finds the largest sizes on all nodes that take the VM or lack nothing
// but room for it, and on each of those listed.
func (q *inquiry) largest(ctx context.Context, o *outcome, listed []hostFit) (largestSizes, error) {
	s := q.scale()
	var out largestSizes
	for _, h := range listed {
		cpu, err := s.on(ctx, h.at, 0)
		if err != nil {
			return largestSizes{}, err
		}
		out.ofHosts = append(out.ofHosts, s.size(cpu))
	}
	type room struct {
		at  int
		cpu int64
	}
	var rooms []room
	for _, i := range append(rejectedBy(o).indexes(hostresources.Name, hostnuma.Name), o.fits...) {
		if cpu := s.room(i); cpu > 0 {
			rooms = append(rooms, room{i, cpu})
		}
	}
	// The filters may let in less than there is room for, so the roomiest hosts
	// are asked in turn until no other has room for more.
	slices.SortStableFunc(rooms, func(a, b room) int { return cmp.Compare(b.cpu, a.cpu) })
	most := int64(0)
	for _, r := range rooms {
		if r.cpu <= most {
			break
		}
		cpu, err := s.on(ctx, r.at, most)
		if err != nil {
			return largestSizes{}, err
		}
		most = max(most, cpu)
	}
	out.ofFleet = s.size(most)
	return out, nil
}
