// Package plugins lists the scheduler plugins of Domus.
package plugins

import (
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostfragmentation"
	"domus.dev/domus/pkg/plugins/hostheadroom"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/plugins/vmbinder"
	"domus.dev/domus/pkg/plugins/vmpreemption"
)

// Registry returns every plugin's factory by name. VMs are bound through b; f
// knows the hosts, d the disks and n the networks.
func Registry(b vmbinder.Binder, f *fleet.Fleet, d *disklocality.Disks, n *networkreach.Networks) frameworkruntime.Registry {
	return frameworkruntime.Registry{
		disklocality.Name:      disklocality.Factory(f, d),
		hostcompatibility.Name: hostcompatibility.New(f),
		hostfragmentation.Name: hostfragmentation.New(f),
		hostheadroom.Name:      hostheadroom.New(f),
		hostnuma.Name:          hostnuma.New(f),
		hostresources.Name:     hostresources.New(f),
		networkreach.Name:      networkreach.Factory(f, n),
		vmbinder.Name:          vmbinder.New(b, f),
		vmpreemption.Name:      vmpreemption.New(f),
	}
}

// Growth are the plugins that decide whether a VM may grow on its host, and bind
// what it is to have more: their own settings hold for that too.
func Growth() []string { return []string{hostresources.Name, vmbinder.Name} }
