package survey

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/podless"
)

// host is one host of a look.
type host struct {
	node       fwk.NodeInfo
	hypervisor *v1alpha1.Hypervisor
	// usage is there when the host was counted.
	usage   *numa.Usage
	counted bool
}

func (s *Survey) usage(node fwk.NodeInfo) (*numa.Usage, bool) { return s.Fleet.Usage(nil, node) }

// silent are taints that say that a host cannot be heard or asked.
var silent = []string{v1alpha1.ExecutorUnreachableTaint, v1alpha1.LibvirtUnavailableTaint}

// ready says whether the host's executor is heard and reaches libvirt.
func (h *host) ready() bool {
	return meta.IsStatusConditionTrue(h.hypervisor.Status.Conditions, v1alpha1.HypervisorReady) &&
		!slices.ContainsFunc(h.node.Node().Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(silent, t.Key) })
}

// schedulable says whether VMs without tolerations of their own may come.
func (h *host) schedulable() bool { return h.counted && !h.node.Node().Spec.Unschedulable }

// host tells of one host.
func (s *Survey) host(h *host) {
	name, status := h.node.Node().Name, &h.hypervisor.Status
	domainType := ""
	if len(status.DomainTypes) > 0 {
		domainType = status.DomainTypes[0].Type
	}
	s.tell(metrics.HostInfo, 1, name, string(status.Mode), domainType, status.Versions.Libvirt, status.Versions.Hypervisor,
		status.Versions.Executor, strconv.FormatBool(status.Simulated))
	s.tell(metrics.HostReady, number(h.ready()), name)
	s.tell(metrics.HostSchedulable, number(h.schedulable()), name)
	s.tell(metrics.HostForeign, float64(status.ForeignDomains), name)
	s.tell(metrics.HostQuarantined, float64(len(status.Quarantined)), name)
	if ratio, err := strconv.ParseFloat(status.CPUOvercommit, 64); err == nil {
		s.tell(metrics.HostOvercommit, ratio, name)
	}
	for i := range status.Pools {
		p := &status.Pools[i]
		s.tell(metrics.PoolCapacity, float64(p.Capacity), name, p.Name)
		s.tell(metrics.PoolAllocatable, float64(p.Allocatable), name, p.Name)
	}
	physical := capacity.FromHost(status.Capacity)
	s.tell(metrics.HostCapacityCPUs, float64(physical.CPU), name)
	s.memory(metrics.HostCapacityMemory, physical, name)
	if !h.counted {
		return
	}
	allocatable := h.usage.Host().Allocatable
	requested := allocatable.Sub(h.usage.Free())
	s.tell(metrics.HostAllocatableCPUs, float64(allocatable.CPU), name)
	s.memory(metrics.HostAllocatableMemory, allocatable, name)
	s.tell(metrics.HostRequestedCPUs, float64(requested.CPU), name)
	s.memory(metrics.HostRequestedMemory, requested, name)
	vms := 0
	for _, info := range h.node.GetPods() {
		if name := info.GetPod().Name; podless.IsProjected(name) && !podless.IsGrowth(name) {
			vms++
		}
	}
	s.tell(metrics.HostVMs, float64(vms), name)
	for i := range h.usage.Host().Cells {
		cell, in := &h.usage.Host().Cells[i], h.usage.InCell(i)
		id := strconv.Itoa(int(cell.ID))
		s.tell(metrics.CellCPUs, float64(cell.CPUs.Size()), name, id)
		s.tell(metrics.CellSharedCPUs, float64(in.Shared), name, id)
		s.tell(metrics.CellDedicatedCPUs, float64(in.Dedicated), name, id)
		s.memory(metrics.CellMemory, cell.Bytes(), name, id)
		s.memory(metrics.CellRequestedMemory, in.Memory, name, id)
	}
}

// memory tells amounts by page size, which is the last label.
func (s *Survey) memory(m *metrics.Metric, r capacity.Resources, labels ...string) {
	for _, kind := range []struct {
		size  string
		bytes int64
	}{{"4Ki", r.Memory}, {string(v1alpha1.PageSize2Mi), r.Hugepages2Mi}, {string(v1alpha1.PageSize1Gi), r.Hugepages1Gi}} {
		s.tell(m, float64(kind.bytes), append(slices.Clone(labels), kind.size)...)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
