package executor

import (
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// maxHypervisorBytes keeps a Hypervisor's status small: every scheduler
	// holds all of them.
	maxHypervisorBytes = 16 << 10
	// maxQuarantined is the bound in the API's schema.
	maxQuarantined = 64
)

// wantHypervisor sets what the host is like. Without an account (libvirt has
// not been reached yet) the description stays as it was.
func wantHypervisor(status *v1alpha1.HypervisorStatus, config HostConfiguration, a *account, connected bool, versions v1alpha1.Versions, generation int64, now time.Time) {
	if a != nil {
		d := a.description
		status.Simulated = d.Simulated
		status.Capacity, status.Allocatable = a.physical.Host(), a.allocatable.Host()
		status.Summary = a.allocatable.Summary()
		status.Summary.Cells = int32(len(d.Cells))
		status.CPUOvercommit = config.CPUOvercommit.String()
		status.Cells = cells(d.Cells)
		status.DomainTypes = domainTypes(d.DomainTypes)
		versions.Libvirt, versions.Hypervisor = d.LibvirtVersion, d.HypervisorVersion
		status.Versions = versions
		status.ForeignDomains = a.foreign
		status.Quarantined = a.quarantined[:min(len(a.quarantined), maxQuarantined)]
	}
	ready := metav1.Condition{
		Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLibvirtConnected,
		Message: "the executor reaches libvirt", ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
	if !connected {
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonLibvirtUnavailable
		ready.Message = "libvirt cannot be reached; guests run on: see whether libvirtd runs on the host"
	}
	meta.SetStatusCondition(&status.Conditions, ready)
	shrink(status)
}

func cells(in []libvirt.Cell) []v1alpha1.Cell {
	var out []v1alpha1.Cell
	for _, c := range in {
		cell := v1alpha1.Cell{ID: c.ID, CPUs: c.CPUs, Memory: c.Memory}
		if c.Pages.Size2Mi > 0 {
			cell.Hugepages = append(cell.Hugepages, v1alpha1.PagePool{Size: v1alpha1.PageSize2Mi, Total: c.Pages.Size2Mi})
		}
		if c.Pages.Size1Gi > 0 {
			cell.Hugepages = append(cell.Hugepages, v1alpha1.PagePool{Size: v1alpha1.PageSize1Gi, Total: c.Pages.Size1Gi})
		}
		for _, d := range c.Distances {
			cell.Distances = append(cell.Distances, v1alpha1.CellDistance{Cell: d.Cell, Distance: d.Value})
		}
		out = append(out, cell)
	}
	return out
}

func domainTypes(in []libvirt.DomainType) []v1alpha1.DomainType {
	var out []v1alpha1.DomainType
	for _, t := range in {
		out = append(out, v1alpha1.DomainType{Type: t.Type, Arch: t.Arch, Machines: t.Machines})
	}
	return out
}

// shrink leaves out what is wanted least until the status is small enough: the
// machines of all but the preferred kind, the other kinds, the preferred kind's
// machines, the distances.
func shrink(status *v1alpha1.HypervisorStatus) {
	for _, drop := range []func(){
		func() {},
		func() {
			for i := range status.DomainTypes[min(1, len(status.DomainTypes)):] {
				status.DomainTypes[i+1].Machines = nil
			}
		},
		func() { status.DomainTypes = status.DomainTypes[:min(1, len(status.DomainTypes))] },
		func() {
			for i := range status.DomainTypes {
				status.DomainTypes[i].Machines = nil
			}
		},
		func() {
			for i := range status.Cells {
				status.Cells[i].Distances = nil
			}
		},
	} {
		drop()
		if data, err := json.Marshal(status); err == nil && len(data) <= maxHypervisorBytes {
			return
		}
	}
}
