package executor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// twoCells is a host of two cells, each of 4 CPUs on 2 cores and 16 GiB, of which
// 2 GiB in pages of 2 MiB and 4 GiB in pages of 1 GiB; with a GPU near the first
// and a network card with two virtual functions near the second.
func twoCells() libvirt.Description {
	pages := libvirt.Pages{Size2Mi: 1024, Size1Gi: 4}
	return libvirt.Description{
		Arch: "x86_64", CPUs: 8, Memory: 32 << 30, Pages: pages.Add(pages),
		Cells: []libvirt.Cell{
			{ID: 0, CPUs: "0-3", Siblings: []string{"0-1", "2-3"}, Memory: 16 << 30, Pages: pages, Distances: []libvirt.Distance{{Cell: 1, Value: 21}}},
			{ID: 1, CPUs: "4-7", Siblings: []string{"4-5", "6-7"}, Memory: 16 << 30, Pages: pages, Distances: []libvirt.Distance{{Cell: 0, Value: 21}}},
		},
		DomainTypes: []libvirt.DomainType{{
			Type: "qemu", Arch: "x86_64", Machines: []string{"pc-q35-7.2"},
			CPUModels: []string{"EPYC"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
		}},
		Devices: []libvirt.Device{
			{Address: "0000:00:1f.0", Vendor: "8086", Product: "2918"},
			{Address: "0000:3b:00.0", Vendor: "10de", Product: "20b0", Cell: ptr.To[int32](0)},
			{Address: "0000:5e:00.0", Vendor: "15b3", Product: "1017", Cell: ptr.To[int32](1)},
			{Address: "0000:5e:00.2", Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0", Cell: ptr.To[int32](1)},
			{Address: "0000:5e:00.3", Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0", Cell: ptr.To[int32](1)},
		},
		LibvirtVersion: "9.0.0", HypervisorVersion: "7.2.0",
	}
}

// twoCellsReported is what is reported of that host when nothing is on it.
func twoCellsReported(change ...func(*v1alpha1.HypervisorStatus)) v1alpha1.HypervisorStatus {
	pools := []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: 1024}, {Size: v1alpha1.PageSize1Gi, Total: 4}}
	s := v1alpha1.HypervisorStatus{
		Mode:        v1alpha1.ModeDedicated,
		Capacity:    v1alpha1.HostCapacity{CPU: 8, Memory: 20 << 30, Hugepages2Mi: 4 << 30, Hugepages1Gi: 8 << 30},
		Allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 18 << 30, Hugepages2Mi: 4 << 30, Hugepages1Gi: 8 << 30},
		Summary:     v1alpha1.HostSummary{Memory: "18Gi", Hugepages: "2Mi:4Gi,1Gi:8Gi", Cells: 2}, CPUOvercommit: "2",
		Cells: []v1alpha1.Cell{
			{ID: 0, CPUs: "0-3", Siblings: []string{"0-1", "2-3"}, Memory: 16 << 30, Hugepages: pools, Distances: []v1alpha1.CellDistance{{Cell: 1, Distance: 21}}},
			{ID: 1, CPUs: "4-7", Siblings: []string{"4-5", "6-7"}, Memory: 16 << 30, Hugepages: pools, Distances: []v1alpha1.CellDistance{{Cell: 0, Distance: 21}}},
		},
		DomainTypes: []v1alpha1.DomainType{{
			Type: "qemu", Arch: "x86_64", Machines: []string{"pc-q35-7.2"},
			CPUModels: []string{"EPYC"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
		}},
		Versions: v1alpha1.Versions{Libvirt: "9.0.0", Hypervisor: "7.2.0"},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func TestOffer(t *testing.T) {
	overhead := func(cpu int32, memory int64, size v1alpha1.PageSize) int64 {
		return capacity.Overhead(cpu, memory, size, usual)
	}
	for name, c := range map[string]struct {
		devices []hostconfig.DeviceConfiguration
		others  others
		want    func(*v1alpha1.HypervisorStatus)
	}{
		"an empty host": {want: func(*v1alpha1.HypervisorStatus) {}},
		"a foreign domain that is bound to a cell": {
			others: others{foreign: []libvirt.Domain{{
				UUID: "f", State: libvirt.StateRunning, CPU: 2, Memory: 3 << 30, PageSize: 1 << 30,
				Binding: libvirt.Binding{VCPUs: map[int]string{0: "4", 1: "6-7"}, Cells: []libvirt.BoundMemory{{Cell: 1, Memory: 3 << 30}}},
			}}},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.ForeignDomains = 1
				s.Cells[1].Foreign = &v1alpha1.ForeignUse{CPUs: "4,6-7", Hugepages1Gi: 3}
				s.Allocatable.CPU -= 2
				s.Allocatable.Memory -= overhead(2, 3<<30, "1Gi")
				s.Allocatable.Hugepages1Gi -= 3 << 30
				s.Summary = v1alpha1.HostSummary{Memory: "17.8Gi", Hugepages: "2Mi:4Gi,1Gi:5Gi", Cells: 2}
			},
		},
		"a foreign domain that is bound to both": {
			others: others{foreign: []libvirt.Domain{{
				UUID: "f", State: libvirt.StateRunning, CPU: 1, Memory: 1 << 30,
				Binding: libvirt.Binding{VCPUs: map[int]string{0: "2-5"}, Cells: []libvirt.BoundMemory{{Cell: 0, Memory: 1 << 29}, {Cell: 1, Memory: 1 << 29}}},
			}}},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.ForeignDomains = 1
				s.Cells[0].Foreign = &v1alpha1.ForeignUse{CPUs: "2-3", Memory: 1 << 29}
				s.Cells[1].Foreign = &v1alpha1.ForeignUse{CPUs: "4-5", Memory: 1 << 29}
				s.Allocatable.CPU--
				s.Allocatable.Memory -= 1<<30 + overhead(1, 1<<30, "")
				s.Summary.Memory = "16.8Gi"
			},
		},
		"foreign domains that are bound to nothing, or do not run": {
			others: others{foreign: []libvirt.Domain{
				{UUID: "f", State: libvirt.StateRunning, CPU: 1, Memory: 1 << 30, PageSize: 2 << 20, Binding: libvirt.Binding{VCPUs: map[int]string{0: "0-7"}}},
				{
					UUID: "g", State: libvirt.StateShutOff, CPU: 1, Memory: 1 << 30,
					Binding: libvirt.Binding{VCPUs: map[int]string{0: "0"}, Cells: []libvirt.BoundMemory{{Cell: 0, Memory: 1 << 30}}},
				},
			}},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.ForeignDomains = 2
				s.Allocatable.CPU--
				s.Allocatable.Memory -= overhead(1, 1<<30, "2Mi")
				s.Allocatable.Hugepages2Mi -= 1 << 30
				s.Summary = v1alpha1.HostSummary{Memory: "17.8Gi", Hugepages: "2Mi:3Gi,1Gi:8Gi", Cells: 2}
			},
		},
		// 2 pinned and 2 idle CPUs are 8 virtual ones that nobody is offered.
		"a quarantined domain keeps what it holds": {
			devices: []hostconfig.DeviceConfiguration{{Name: "vf", Vendor: "15b3", Product: "1018"}},
			others: others{quarantined: []quarantined{{reason: "why", Observed: *vmtest.Domain(libvirt.StateShutOff, func(d *ownership.Observed) {
				d.Ownership.Granted = v1alpha1.GrantedResources{CPU: 2, Memory: 1 << 30, Overhead: 1 << 28, PageSize: v1alpha1.PageSize2Mi}
				d.Ownership.Cells = []v1alpha1.PlacedCell{{ID: 1, CPU: 2, Memory: 1 << 30, CPUs: "4,6", Idle: "5,7"}}
				d.Ownership.Devices = []v1alpha1.PlacedDevice{{Name: "vf", Address: "0000:5e:00.2"}}
			})}}},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.Quarantined = []v1alpha1.QuarantinedDomain{{Name: "default:guest", UUID: vmtest.UID, Reason: "why"}}
				s.Cells[1].Foreign = &v1alpha1.ForeignUse{CPUs: "4-7", Hugepages2Mi: 512}
				s.Allocatable.CPU -= 8
				s.Allocatable.Memory -= 1 << 28
				s.Allocatable.Hugepages2Mi -= 1 << 30
				s.Summary = v1alpha1.HostSummary{Memory: "17.8Gi", Hugepages: "2Mi:3Gi,1Gi:8Gi", Cells: 2}
				s.Devices = []v1alpha1.HostDevice{{
					Name: "vf", Address: "0000:5e:00.3", Cell: ptr.To[int32](1), Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0",
				}}
			},
		},
		"devices under the first name that fits": {
			devices: []hostconfig.DeviceConfiguration{
				{Name: "gpu", Vendor: "10de", Product: "20b0"}, {Name: "any", Addresses: []string{"0000:3b:00.0", "0000:00:1f.0", "0000:ff:00.0"}},
			},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.Devices = []v1alpha1.HostDevice{
					{Name: "any", Address: "0000:00:1f.0", Vendor: "8086", Product: "2918"},
					{Name: "gpu", Address: "0000:3b:00.0", Cell: ptr.To[int32](0), Vendor: "10de", Product: "20b0"},
				}
			},
		},
		"a card is not offered beside its virtual functions": {
			devices: []hostconfig.DeviceConfiguration{{Name: "nic", Vendor: "15b3", Product: "1017"}, {Name: "vf", Addresses: []string{"0000:5e:00.3"}}},
			want: func(s *v1alpha1.HypervisorStatus) {
				s.Devices = []v1alpha1.HostDevice{{
					Name: "vf", Address: "0000:5e:00.3", Cell: ptr.To[int32](1), Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0",
				}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := hostconfig.HostConfiguration{
				Mode: hostconfig.ModeDedicated, Devices: c.devices, CPUOvercommit: resource.MustParse("2"),
				Reserve: hostconfig.ReserveConfiguration{CPU: resource.MustParse("2"), Memory: resource.MustParse("2Gi")},
			}
			got := offer(config, twoCells(), nil, c.others)
			if diff := cmp.Diff(twoCellsReported(c.want), got.status); diff != "" {
				t.Error(diff)
			}
			if got.physical.Host() != got.status.Capacity || got.allocatable.Host() != got.status.Allocatable {
				t.Errorf("the Node would differ: %+v and %+v", got.physical, got.allocatable)
			}
		})
	}
}
