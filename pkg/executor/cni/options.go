package cni

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Defaults of Options.
const (
	DefaultConfigDir = "/etc/cni/net.d"
	DefaultStateDir  = "/var/lib/vm-executor/cni"
	// DefaultSpaceDir is where ip-netns(8) looks: `ip netns exec domus-UID ip addr`.
	DefaultSpaceDir = "/run/netns"
	DefaultTimeout  = 30 * time.Second
)

// DefaultPluginDirs are those of CNI's own releases and of Debian's package.
var DefaultPluginDirs = []string{"/opt/cni/bin", "/usr/lib/cni"}

// AnyNetwork in Options.Networks allows every configuration of the host.
const AnyNetwork = "*"

// Options are one host's.
type Options struct {
	// ConfigDir has the host's configurations, and PluginDirs the programs that they
	// name.
	ConfigDir  string
	PluginDirs []string
	// Networks are the names of configurations that VMs may use: a host may have
	// others, that are not for guests. None by default; AnyNetwork allows all.
	Networks []string
	// Exclusive are those of Networks that nobody but this host's VMs uses: plugins
	// that know the verb GC are told to forget all attachments but ours. Were a
	// kubelet's runtime to use one too, its pods would lose their addresses.
	Exclusive []string
	// DefinitionPlugins are the types of plugins that configurations may name which are
	// not the host's own (Attachment.Config); none by default.
	DefinitionPlugins []string
	// StateDir has records and libcni's cache; it must outlive a reboot, as what
	// plugins keep does.
	StateDir string
	// SpaceDir is where network namespaces are named.
	SpaceDir string
	// HostSpace is the path of the network namespace that libvirtd is in, where
	// plugins run and taps are made; this process's own when empty.
	HostSpace string
	// Timeout is how long one call of a network's plugins may take.
	Timeout time.Duration
}

func (o Options) defaulted() Options {
	if o.ConfigDir == "" {
		o.ConfigDir = DefaultConfigDir
	}
	if len(o.PluginDirs) == 0 {
		o.PluginDirs = DefaultPluginDirs
	}
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.SpaceDir == "" {
		o.SpaceDir = DefaultSpaceDir
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return o
}

// Validate says what is wrong with the options.
func (o Options) Validate() error { return o.defaulted().validate() }

func (o Options) validate() error {
	for field, dirs := range map[string][]string{
		"configDir": {o.ConfigDir}, "pluginDirs": o.PluginDirs, "stateDir": {o.StateDir}, "spaceDir": {o.SpaceDir},
	} {
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				return fmt.Errorf("%w: %s %q: give an absolute path", ErrInvalid, field, dir)
			}
		}
	}
	for _, name := range o.DefinitionPlugins {
		if !identifier.MatchString(name) {
			return fmt.Errorf("%w: definitionPlugins %q: give the name of a plugin's program", ErrInvalid, name)
		}
		if why, is := podPlugins[name]; is {
			return fmt.Errorf("%w: definitionPlugins %s: %s: leave it out", ErrUnsupported, name, why)
		}
	}
	for _, name := range o.Exclusive {
		if !o.allows(name) {
			return fmt.Errorf("%w: exclusive %q: name it in networks too", ErrInvalid, name)
		}
	}
	return nil
}

func (o Options) allows(network string) bool {
	return slices.Contains(o.Networks, network) || slices.Contains(o.Networks, AnyNetwork)
}
