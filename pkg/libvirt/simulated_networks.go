package libvirt

import (
	"context"
	"slices"
)

// HostInterfaces implements Host: a simulated host has those that it is described
// with.
func (s *simulated) HostInterfaces(context.Context) ([]HostInterface, error) {
	return slices.Clone(s.simulation.Interfaces), nil
}

// CardAddresses implements Host. The test driver would make addresses up.
func (s *simulated) CardAddresses(ctx context.Context, uuid string) (map[string][]string, error) {
	if _, err := s.Domain(ctx, uuid); err != nil {
		return nil, err
	}
	return nil, nil
}
