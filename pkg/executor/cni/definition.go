package cni

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"

	"domus.dev/domus/pkg/cnidefinition"
)

// permit says whether the host lets the attachment be made: its network is one that
// VMs may use, or all plugins of a configuration of its own are.
func (o Options) permit(a Attachment) error {
	if a.Config == nil {
		if !o.allows(a.Network) {
			return fmt.Errorf("%w: %q: add it to the networks of the host's configuration", ErrNotAllowed, a.Network)
		}
		return nil
	}
	plugins, err := cnidefinition.Plugins(string(a.Config))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, plugin := range plugins {
		if !slices.Contains(o.DefinitionPlugins, plugin) {
			return fmt.Errorf("%w: plugin %s of %q, which is not the host's own: add it to the definitionPlugins of the host's configuration", ErrNotAllowed, plugin, a.Network)
		}
	}
	// Plugins keep addresses and rules by the network's name.
	_, err = load(o.ConfigDir, a.Network)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %q is the name of a configuration of the host's own: give the NetworkAttachmentDefinition's another, or leave its spec.config out", ErrNotAllowed, a.Network)
	case !errors.Is(err, ErrNoNetwork):
		return err
	}
	return nil
}

// OfferedPlugins are the types of plugins that configurations may name which are not
// the host's own, as far as it has them, in order.
func (m *Manager) OfferedPlugins() []string {
	var out []string
	for _, plugin := range m.options.DefinitionPlugins {
		if _, err := invoke.FindInPath(plugin, m.options.PluginDirs); err == nil {
			out = append(out, plugin)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
