package executor

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/libvirt"
)

// account is what the host has and what of it VMs may be granted.
type account struct {
	description libvirt.Description
	// physical is the host's, or of a partitioned host the VMs' share.
	physical, allocatable capacity.Resources
	// status is the host as its Hypervisor reports it, but for its conditions
	// and the versions that libvirt does not know.
	status v1alpha1.HypervisorStatus
	// missing says what of its share a partitioned host does not have, or its
	// kubelet does not leave.
	missing []string
}

// others are the domains of a host for which no VM accounts.
type others struct {
	// foreign are not ours, running or not.
	foreign     []libvirt.Domain
	quarantined []quarantined
}

// quarantined is a domain that is left alone for a person to decide about.
type quarantined struct {
	ownership.Observed
	reason string
}

// offer says what the host has and what of it VMs may be granted. What is
// reported, written on the Node and admitted against all comes from here. pods
// is given for a partitioned host.
func offer(config hostconfig.HostConfiguration, d libvirt.Description, pods *podResources, o others) account {
	a := account{description: d, physical: physical(d)}
	cells := reportedCells(d.Cells)
	grantable := a.physical
	if config.Mode == hostconfig.ModePartitioned {
		left := pods.left(d)
		cells, a.physical, a.missing = cutShare(config.Share, cells)
		a.missing = append(a.missing, left.missing(config.Share, a.physical)...)
		grantable = smaller(a.physical, left.Resources)
	}
	a.allocatable = capacity.Allocatable(grantable, o.taken(config), config.Settings())
	o.bind(cells, allCPUs(d))

	a.status = v1alpha1.HypervisorStatus{
		Simulated: d.Simulated, Mode: config.Mode.Reported(),
		Capacity: a.physical.Host(), Allocatable: a.allocatable.Host(), Summary: a.allocatable.Summary(),
		CPUOvercommit: config.CPUOvercommit.String(), Cells: cells, DomainTypes: domainTypes(d.DomainTypes),
		Devices:  offeredDevices(config.Devices, d.Devices, o.devices()),
		Versions: v1alpha1.Versions{Libvirt: d.LibvirtVersion, Hypervisor: d.HypervisorVersion},

		ForeignDomains: int32(len(o.foreign)),
	}
	for _, c := range cells {
		if c.CPUs != "" {
			a.status.Summary.Cells++
		}
	}
	for _, q := range o.quarantined[:min(len(o.quarantined), maxQuarantined)] {
		a.status.Quarantined = append(a.status.Quarantined, v1alpha1.QuarantinedDomain{Name: q.Name, UUID: q.UUID, Reason: q.reason})
	}
	return a
}

// smaller is the smaller of a and b, resource by resource.
func smaller(a, b capacity.Resources) capacity.Resources {
	return capacity.Resources{
		CPU: min(a.CPU, b.CPU), Memory: min(a.Memory, b.Memory),
		Hugepages2Mi: min(a.Hugepages2Mi, b.Hugepages2Mi), Hugepages1Gi: min(a.Hugepages1Gi, b.Hugepages1Gi),
	}
}
