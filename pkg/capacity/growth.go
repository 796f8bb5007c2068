package capacity

import (
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Grown is what a guest that runs on the placement would be granted, if its VM
// desires more than it has, without being started anew: more vCPUs up to what it
// was started for, and more memory up to there by its balloon. Its size alone
// differs from the grant, and is nowhere less.
func Grown(p *v1alpha1.Placement, desired v1alpha1.GrantedResources) v1alpha1.GrantedResources {
	g := p.Granted
	if len(p.Cells) > 0 {
		return g // what lies in cells stays as it was chosen
	}
	if desired.CPU > g.CPU && desired.CPU <= g.MaxCPU {
		g.CPU = desired.CPU
	}
	if balloons(p, desired) && desired.Memory > g.Memory && desired.Memory <= g.MaxMemory {
		g.Memory = desired.Memory
	}
	return g
}

// Shrunk is what a guest that runs on the placement would keep of its grant, if
// its VM desires less memory than it has, without being started anew. vCPUs are
// never taken from a guest that runs: libvirt times out on it.
func Shrunk(p *v1alpha1.Placement, desired v1alpha1.GrantedResources) v1alpha1.GrantedResources {
	g := p.Granted
	if balloons(p, desired) && desired.Memory < g.Memory && desired.Memory > 0 {
		g.Memory = desired.Memory
	}
	return g
}

// balloons says whether guest memory changes by the balloon: the guest was
// started for that, and its VM wants that still. A policy level that does not
// let memory depend on the guest's good will refuses such a VM.
func balloons(p *v1alpha1.Placement, desired v1alpha1.GrantedResources) bool {
	return len(p.Cells) == 0 && p.Granted.PageSize == "" && desired.PageSize == "" && p.Granted.MaxMemory > 0 && desired.MaxMemory > 0
}

// TakesEffectLive says of which amounts a guest that runs on the placement gets
// what its VM desires, or has it, without being started anew.
func TakesEffectLive(p *v1alpha1.Placement, desired v1alpha1.GrantedResources) (cpu, memory bool) {
	grown, shrunk := Grown(p, desired), Shrunk(p, desired)
	return desired.CPU == grown.CPU, desired.Memory == grown.Memory || desired.Memory == shrunk.Memory
}
