package hostconfig

import (
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/executor/cni"
)

// CNIConfiguration lets guests have cards by the host's CNI configurations, on
// VirtualNetworks of type cni.
type CNIConfiguration struct {
	// networks are the names of configurations that VMs may use; "*" allows all that
	// the host has.
	Networks []string `json:"networks"`
	// exclusiveNetworks are those of networks that nobody but this host's VMs uses:
	// plugins that know CNI's GC are told to forget all other attachments to them.
	ExclusiveNetworks []string `json:"exclusiveNetworks,omitempty"`
	// definitionPlugins are the types of plugins that NetworkAttachmentDefinitions with a
	// configuration of their own may name; none by default. Whoever may write one in a
	// namespace of policy level privileged has them run as root, with anything that they
	// can be told.
	DefinitionPlugins []string `json:"definitionPlugins,omitempty"`
	// configDir has the configurations; default /etc/cni/net.d.
	ConfigDir string `json:"configDir,omitempty"`
	// pluginDirs have the plugins; default /opt/cni/bin and /usr/lib/cni.
	PluginDirs []string `json:"pluginDirs,omitempty"`
	// stateDir has what is known of cards, and must outlive a reboot; default
	// /var/lib/vm-executor/cni, of which each host has a folder.
	StateDir string `json:"stateDir,omitempty"`
	// namespaceDir is where VMs' network namespaces have their names; default
	// /run/netns.
	NamespaceDir string `json:"namespaceDir,omitempty"`
	// hostNamespace is the path of the network namespace that libvirtd is in; default
	// is the executor's own.
	HostNamespace string `json:"hostNamespace,omitempty"`
}

// Options are what pkg/executor/cni takes, for the host of that name.
func (c *CNIConfiguration) Options(node string) cni.Options {
	state := c.StateDir
	if state == "" {
		state = cni.DefaultStateDir
	}
	return cni.Options{
		ConfigDir: c.ConfigDir, PluginDirs: c.PluginDirs, Networks: c.Networks, Exclusive: c.ExclusiveNetworks, DefinitionPlugins: c.DefinitionPlugins,
		StateDir: filepath.Join(state, node), SpaceDir: c.NamespaceDir, HostSpace: c.HostNamespace,
	}
}

func (h *HostConfiguration) validateCNI(path *field.Path) (errs field.ErrorList) {
	c := h.CNI
	if c == nil {
		return nil
	}
	if h.Simulated != nil {
		return field.ErrorList{field.Forbidden(path, "a simulated host has no cards: remove cni or simulated")}
	}
	if len(c.Networks) == 0 && len(c.DefinitionPlugins) == 0 {
		errs = append(errs, field.Required(path.Child("networks"), `name the CNI configurations that VMs may use, or "*" for all`))
	}
	paths := map[string]string{"configDir": c.ConfigDir, "stateDir": c.StateDir, "namespaceDir": c.NamespaceDir, "hostNamespace": c.HostNamespace}
	for _, name := range []string{"configDir", "stateDir", "namespaceDir", "hostNamespace"} {
		if p := paths[name]; p != "" && !filepath.IsAbs(p) {
			errs = append(errs, field.Invalid(path.Child(name), p, "must be an absolute path"))
		}
	}
	for i, p := range c.PluginDirs {
		if !filepath.IsAbs(p) {
			errs = append(errs, field.Invalid(path.Child("pluginDirs").Index(i), p, "must be an absolute path"))
		}
	}
	if len(errs) == 0 {
		if err := c.Options(h.NodeName).Validate(); err != nil {
			errs = append(errs, field.Invalid(path, "", err.Error()))
		}
	}
	return errs
}
