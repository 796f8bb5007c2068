// Package plugins lists the scheduler plugins of Domus.
package plugins

import (
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/vmbinder"
	"domus.dev/domus/pkg/plugins/vmpreemption"
)

// Registry returns every plugin's factory by name. VMs are bound through b, and
// hosts described by hypervisors.
func Registry(b vmbinder.Binder, hypervisors hostcompatibility.Informer) frameworkruntime.Registry {
	return frameworkruntime.Registry{
		hostcompatibility.Name: hostcompatibility.New(hypervisors),
		hostresources.Name:     hostresources.New,
		vmbinder.Name:          vmbinder.New(b),
		vmpreemption.Name:      vmpreemption.New,
	}
}
