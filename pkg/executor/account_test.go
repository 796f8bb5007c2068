package executor

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// offering is a configuration that offers twoCells' devices.
func offering() hostconfig.HostConfiguration {
	return hostconfig.HostConfiguration{
		NodeName: vmtest.Node, Mode: hostconfig.ModeDedicated, CPUOvercommit: resource.MustParse("1"), DomainType: "auto",
		Devices: []hostconfig.DeviceConfiguration{{Name: "gpu", Vendor: "10de", Product: "20b0"}, {Name: "vf", Vendor: "15b3", Product: "1018"}},
	}
}

// placement is on one cell, with memory in Gi.
func placement(cell, cpus int32, memory int64, change ...func(*v1alpha1.Placement)) v1alpha1.Placement {
	p := v1alpha1.Placement{
		NodeName: vmtest.Node, Granted: v1alpha1.GrantedResources{CPU: cpus, Memory: memory << 30, Overhead: 1 << 28},
		Cells: []v1alpha1.PlacedCell{{ID: cell, CPU: cpus, Memory: memory << 30}},
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func onCPUs(cpus, idle string) func(*v1alpha1.Placement) {
	return func(p *v1alpha1.Placement) { p.Cells[0].CPUs, p.Cells[0].Idle = cpus, idle }
}

func in1Gi(p *v1alpha1.Placement) { p.Granted.PageSize = v1alpha1.PageSize1Gi }

func withDevice(name, address string) func(*v1alpha1.Placement) {
	return func(p *v1alpha1.Placement) {
		p.Devices = append(p.Devices, v1alpha1.PlacedDevice{Name: name, Address: address})
	}
}

func TestTheSecondVMIsToldWhatIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		first, second v1alpha1.Placement
		want          string
	}{
		"a CPU":             {placement(0, 2, 1, onCPUs("0-1", "")), placement(0, 2, 1, onCPUs("1-2", "")), "CPUs 1 belong to another VM alone"},
		"an idle CPU":       {placement(0, 1, 1, onCPUs("0", "1")), placement(0, 1, 1, onCPUs("1", "")), "CPUs 1 belong to another VM alone"},
		"shared CPUs":       {placement(0, 3, 1, onCPUs("0-2", "")), placement(0, 2, 1), "need 2 vCPUs in one cell, the largest free is 1"},
		"memory of a cell":  {placement(0, 1, 7), placement(0, 1, 4), "need 4Gi of memory in one cell, the largest free is 3Gi"},
		"pages of a cell":   {placement(1, 1, 3, in1Gi), placement(1, 1, 2, in1Gi), "need 2Gi of 1Gi hugepages in one cell, the largest free is 1Gi"},
		"a device":          {placement(0, 1, 1, withDevice("gpu", "0000:3b:00.0")), placement(0, 1, 1, withDevice("gpu", "0000:3b:00.0")), "device 0000:3b:00.0 belongs to another VM alone"},
		"another cell":      {first: placement(0, 2, 7, onCPUs("0-1", "")), second: placement(1, 2, 7, onCPUs("4-5", ""))},
		"another device":    {first: placement(1, 1, 1, withDevice("vf", "0000:5e:00.2")), second: placement(1, 1, 1, withDevice("vf", "0000:5e:00.3"))},
		"a cell that's not": {placement(0, 1, 1), placement(2, 1, 1), "the host has no NUMA cell 2: it has changed since the VM was placed"},
		"a CPU that's not":  {placement(0, 1, 1), placement(0, 1, 1, onCPUs("4", "")), "CPUs 4 are not in NUMA cell 0: the host has changed since the VM was placed"},
		"a device under another name": {
			placement(0, 1, 1), placement(0, 1, 1, withDevice("vf", "0000:3b:00.0")), "the host offers no device 0000:3b:00.0 as vf: it has changed since the VM was placed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := dedicated(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = &c.first })
			s := newLargeStage(t, first, vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = &c.second }))
			s.config = offering()
			s.config.RegisterNode = true
			for _, cell := range s.host.description.Cells {
				s.host.free = append(s.host.free, libvirt.CellFree{Cell: cell.ID, Pages: cell.Pages})
			}
			s.restart()
			s.turnOf(first)
			if h := s.saidOf(first); h.State != v1alpha1.HostRunning {
				t.Fatalf("the first: %+v", h)
			}
			s.restart() // the account is the marks', not the process's
			s.mustTurn()
			want := &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit, Message: "the host is full: " + c.want}
			if c.want == "" {
				want = &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRunning, DomainName: "default:guest", DomainUUID: vmtest.UID, StartedAt: s.said().StartedAt}
			}
			if diff := cmp.Diff(want, s.said()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.first, ownership.Observe(s.host.domains[otherUID]).Ownership.Placement(vmtest.Node)); diff != "" {
				t.Errorf("the mark: %s", diff)
			}
		})
	}
}

func TestOfManyWhoWantTheSameCPUsOneIsAccepted(t *testing.T) {
	r := newRegistry(offering())
	r.describe(twoCells())
	var mu sync.Mutex
	var all sync.WaitGroup
	accepted := 0
	for i := range 20 {
		all.Go(func() {
			short, err := r.reserve(fmt.Sprint(i), placement(0, 2, 1, onCPUs("0-1", "")))
			mu.Lock()
			defer mu.Unlock()
			if err == nil && short == nil {
				accepted++
			}
		})
	}
	all.Wait()
	if accepted != 1 {
		t.Errorf("%d were accepted", accepted)
	}
}

// What is chosen by the report alone is accepted, and what does not fit any more
// is not chosen: scheduler and executor count alike.
func TestWhatTheSchedulerChoosesByTheReportIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := offering()
		config.CPUOvercommit = rapid.SampledFrom([]resource.Quantity{resource.MustParse("1"), resource.MustParse("1500m"), resource.MustParse("4")}).Draw(t, "overcommit")
		config.Reserve.Memory = resource.MustParse("1Gi")
		r := newRegistry(config)
		r.describe(twoCells())
		if rapid.Bool().Draw(t, "foreign") {
			r.put(ownership.Observed{Domain: libvirt.Domain{
				UUID: "f", State: libvirt.StateRunning, CPU: 2, Memory: 3 << 30, PageSize: 1 << 30,
				Binding: libvirt.Binding{VCPUs: map[int]string{0: "4"}, Cells: []libvirt.BoundMemory{{Cell: 1, Memory: 3 << 30}}},
			}})
		}
		if rapid.Bool().Draw(t, "quarantined") {
			r.put(*vmtest.Domain(libvirt.StateRunning, func(d *ownership.Observed) {
				p := placement(0, 1, 2, onCPUs("0", "1"), withDevice("gpu", "0000:3b:00.0"))
				d.Ownership.Granted, d.Ownership.Cells, d.Ownership.Devices = p.Granted, p.Cells, p.Devices
			}))
			r.quarantine(vmtest.UID, "why")
		}
		a, _ := r.account()
		host, err := numa.FromHypervisor(&a.status)
		if err != nil {
			t.Fatal(err)
		}
		usage := numa.NewUsage(&host)
		for i := range rapid.IntRange(1, 12).Draw(t, "VMs") {
			request := numa.Request{
				Granted: v1alpha1.GrantedResources{
					CPU: rapid.Int32Range(1, 5).Draw(t, "cpu"), Memory: rapid.Int64Range(1, 4).Draw(t, "memory") << 30, Overhead: 1 << 27,
					PageSize: rapid.SampledFrom([]v1alpha1.PageSize{"", "2Mi", "1Gi"}).Draw(t, "pages"),
				},
				NUMA:      rapid.SampledFrom([]v1alpha1.NUMAPolicy{"none", "single-cell", "restricted", "spread"}).Draw(t, "numa"),
				CPUPolicy: rapid.SampledFrom([]v1alpha1.CPUPolicy{"shared", "dedicated"}).Draw(t, "cpuPolicy"),
			}
			if name := rapid.SampledFrom([]string{"", "gpu", "vf"}).Draw(t, "device"); name != "" {
				request.Devices = []v1alpha1.DeviceRequest{{Name: name, Count: 1}}
			}
			chosen, short := numa.Choose(usage, &request)
			if short != nil {
				continue
			}
			p := request.Placement(vmtest.Node, chosen)
			if short, err := r.reserve(fmt.Sprint(i), p); err != nil || short != nil {
				t.Fatalf("%+v is refused: %v, %v", p, short, err)
			}
			if err := usage.Add(&p); err != nil {
				t.Fatal(err)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !usage.Equal(r.usage(&host, "")) {
			t.Error("the accounts differ")
		}
	})
}
