package executor

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// simulatedTwoCells is twoCells as a simulated host's configuration.
func simulatedTwoCells() *hostconfig.SimulatedConfiguration {
	cell := func(id int32, cpus string, siblings ...string) hostconfig.SimulatedCellConfiguration {
		return hostconfig.SimulatedCellConfiguration{
			ID: id, CPUs: cpus, Siblings: siblings, Memory: resource.MustParse("16Gi"), Hugepages2Mi: 1024, Hugepages1Gi: 4,
			Distances: []hostconfig.SimulatedDistanceConfiguration{{Cell: 1 - id, Distance: 21}},
		}
	}
	c := &hostconfig.SimulatedConfiguration{
		CPUs: 8, Memory: resource.MustParse("32Gi"), Cells: []hostconfig.SimulatedCellConfiguration{cell(0, "0-3", "0-1", "2-3"), cell(1, "4-7", "4-5", "6-7")},
		CPUModels: []string{"EPYC"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
	}
	for _, d := range twoCells().Devices {
		c.Devices = append(c.Devices, hostconfig.SimulatedDeviceConfiguration(d))
	}
	return c
}

// simulatedStage is a stage whose host is libvirt's own test driver.
type simulatedStage struct {
	*stage
	simulated libvirt.Host
	stop      func()
}

func newSimulatedStage(t *testing.T, vms ...*v1alpha1.VirtualMachine) *simulatedStage {
	t.Helper()
	s := &simulatedStage{stage: newStage(t)}
	s.config = offering()
	s.config.RegisterNode, s.config.Simulated = true, simulatedTwoCells()
	for _, vm := range vms {
		s.create(vm)
	}
	var err error
	if s.simulated, err = libvirt.Simulate(t.TempDir(), vmtest.Node, s.config.Simulated.Simulation()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.simulated.Close)
	return s
}

func (s *simulatedStage) create(vm *v1alpha1.VirtualMachine) {
	s.t.Helper()
	if err := s.api.Create(context.Background(), vm.DeepCopy()); err != nil {
		s.t.Fatal(err)
	}
}

// run runs an agent that remembers nothing, in the place of the one before it.
func (s *simulatedStage) run() *Agent {
	s.t.Helper()
	if s.stop != nil {
		s.stop()
	}
	agent := NewAgent(Options{
		Config: s.config, Host: s.simulated, Live: s.api, VMs: s.vms, Disks: cacheOf{s.api}, Networks: cacheOf{s.api}, Recorder: events.NewFakeRecorder(1000), Clock: clock.RealClock{},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { agent.Run(ctx) })
	s.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(s.stop)
	return agent
}

func (s *simulatedStage) becomes(vm *v1alpha1.VirtualMachine, state v1alpha1.HostState) {
	s.t.Helper()
	eventually(s.t, vm.Name+" is "+string(state), func() bool {
		h := s.saidOf(vm)
		return h != nil && h.State == state
	})
}

func (s *simulatedStage) domain(uid string) libvirt.Domain {
	s.t.Helper()
	d, err := s.simulated.Domain(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// usageOf is what the agent counts, on the host as it counts it.
func usageOf(t *testing.T, a *Agent) *numa.Usage {
	t.Helper()
	sum, known := a.registry.account()
	if !known {
		t.Fatal("nothing is known of the host")
	}
	host, err := numa.FromHypervisor(&sum.status)
	if err != nil {
		t.Fatal(err)
	}
	a.registry.mu.Lock()
	defer a.registry.mu.Unlock()
	return a.registry.usage(&host, "")
}

func TestAPlacementOnASimulatedHostIsWhatWasDecided(t *testing.T) {
	sharing := vmtest.Bound()
	wanted := v1alpha1.Placement{
		NodeName: vmtest.Node, Granted: v1alpha1.GrantedResources{CPU: 4, Memory: 4 << 30, Overhead: 1 << 28, PageSize: v1alpha1.PageSize1Gi},
		Cells: []v1alpha1.PlacedCell{
			{ID: 0, CPU: 2, Memory: 2 << 30, CPUs: "2-3"},
			{ID: 1, CPU: 2, Memory: 2 << 30, CPUs: "4,6", Idle: "5,7"},
		},
		Devices: []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:3b:00.0"}, {Name: "vf", Address: "0000:5e:00.2"}},
	}
	alone := dedicated(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = wanted.DeepCopy() })
	s := newSimulatedStage(t, sharing)
	agent := s.run()
	s.becomes(sharing, v1alpha1.HostRunning)

	s.create(alone)
	agent.Enqueue(client.ObjectKeyFromObject(alone))
	s.becomes(alone, v1alpha1.HostRunning)
	if diff := cmp.Diff(wanted, ownership.Observe(s.domain(otherUID)).Ownership.Placement(vmtest.Node)); diff != "" {
		t.Errorf("the mark: %s", diff)
	}
	want := libvirt.Binding{
		VCPUs: map[int]string{0: "2", 1: "3", 2: "4", 3: "6"}, Emulator: "2-4,6",
		Cells: []libvirt.BoundMemory{{Cell: 0, Memory: 2 << 30}, {Cell: 1, Memory: 2 << 30}},
	}
	if diff := cmp.Diff(want, s.domain(otherUID).Binding); diff != "" {
		t.Errorf("the guest: %s", diff)
	}
	beside := libvirt.Binding{VCPUs: map[int]string{0: "0-1"}, Emulator: "0-1"}
	if diff := cmp.Diff(beside, s.domain(vmtest.UID).Binding); diff != "" {
		t.Errorf("the guest that shares CPUs: %s", diff)
	}

	// Another executor counts the same, from libvirt alone.
	before := usageOf(t, agent)
	agent = s.run()
	eventually(t, "libvirt is listed", agent.Ready)
	after := usageOf(t, agent)
	if !before.Equal(after) {
		t.Errorf("free %+v was %+v", after.Free(), before.Free())
	}

	// And gives none of it to a second one.
	for name, c := range map[string]struct {
		placement v1alpha1.Placement
		want      string
	}{
		"cpu":    {placement(0, 1, 1, onCPUs("3", "")), "the host is full: CPUs 3 belong to another VM alone"},
		"idle":   {placement(1, 1, 1, onCPUs("7", "")), "the host is full: CPUs 7 belong to another VM alone"},
		"pages":  {placement(0, 1, 3, in1Gi), "the host is full: need 3Gi of 1Gi hugepages in one cell, the largest free is 2Gi"},
		"device": {placement(0, 1, 1, withDevice("vf", "0000:5e:00.2")), "the host is full: device 0000:5e:00.2 belongs to another VM alone"},
	} {
		second := dedicated(func(vm *v1alpha1.VirtualMachine) {
			vm.Name, vm.UID, vm.Status.Placement = name, "44444444-4444-4444-8444-444444444444", &c.placement
		})
		s.create(second)
		agent.Enqueue(client.ObjectKeyFromObject(second))
		s.becomes(second, v1alpha1.HostRejected)
		want := &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit, Message: c.want}
		if diff := cmp.Diff(want, s.saidOf(second)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	// When it is gone the others run everywhere again.
	if err := s.api.Delete(context.Background(), alone); err != nil {
		t.Fatal(err)
	}
	agent.Enqueue(client.ObjectKeyFromObject(alone))
	eventually(t, "the guest that shares CPUs runs everywhere", func() bool { return cmp.Equal(everywhere, s.domain(vmtest.UID).Binding) })
}

// boundElsewhere is a domain that is not ours, in cell 1.
const boundElsewhere = `<domain type='test'><name>theirs</name><uuid>55555555-5555-4555-8555-555555555555</uuid>
<memory unit='GiB'>3</memory><memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>
<vcpu>2</vcpu><numatune><memory mode='strict' nodeset='1'/></numatune>
<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/></cputune>
<os><type arch='x86_64'>hvm</type></os></domain>`

func TestAForeignDomainInACellOfASimulatedHostIsReportedAndCounted(t *testing.T) {
	s := newSimulatedStage(t)
	agent := s.run()
	eventually(t, "the host is reported", func() bool {
		hv := &v1alpha1.Hypervisor{}
		return s.api.Get(context.Background(), client.ObjectKey{Name: vmtest.Node}, hv) == nil && hv.Status.Capacity.CPU > 0
	})
	if err := s.simulated.Define(context.Background(), boundElsewhere); err != nil {
		t.Fatal(err)
	}
	if err := s.simulated.Start(context.Background(), "55555555-5555-4555-8555-555555555555"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the domain and the pools are reported", func() bool {
		status := s.hypervisor().Status
		return status.Cells[1].Foreign != nil && status.Pools != nil
	})
	want := twoCellsReported(func(s *v1alpha1.HypervisorStatus) {
		s.Simulated, s.CPUOvercommit, s.ForeignDomains = true, "1", 1
		s.Allocatable = v1alpha1.HostCapacity{CPU: 6, Memory: 20<<30 - capacity.Overhead(2, 3<<30, "1Gi", usual), Hugepages2Mi: 4 << 30, Hugepages1Gi: 5 << 30}
		s.Summary = v1alpha1.HostSummary{Memory: "19.8Gi", Hugepages: "2Mi:4Gi,1Gi:5Gi", Cells: 2}
		s.Cells[1].Foreign = &v1alpha1.ForeignUse{CPUs: "4-5", Hugepages1Gi: 3}
		s.Pools = []v1alpha1.HostPool{{Name: "default", Type: "dir", Capacity: 1 << 40, Allocatable: 1 << 40}}
		s.DomainTypes[0].Type, s.DomainTypes[0].Machines = "test", nil
		s.Devices = []v1alpha1.HostDevice{
			{Name: "gpu", Address: "0000:3b:00.0", Cell: ptr.To[int32](0), Vendor: "10de", Product: "20b0"},
			{Name: "vf", Address: "0000:5e:00.2", Cell: ptr.To[int32](1), Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0"},
			{Name: "vf", Address: "0000:5e:00.3", Cell: ptr.To[int32](1), Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0"},
		}
	})
	ignore := cmpopts.IgnoreFields(v1alpha1.HypervisorStatus{}, "Conditions", "Versions")
	if diff := cmp.Diff(want, s.hypervisor().Status, ignore); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		placement v1alpha1.Placement
		want      string
	}{
		"pages": {placement(1, 1, 2, in1Gi), "the host is full: need 2Gi of 1Gi hugepages in one cell, the largest free is 1Gi"},
		"cpu":   {placement(1, 1, 1, onCPUs("5", "")), "the host is full: domains that Domus does not own are pinned to CPUs 5"},
	} {
		vm := dedicated(func(vm *v1alpha1.VirtualMachine) { vm.Name, vm.Status.Placement = name, &c.placement })
		s.create(vm)
		agent.Enqueue(client.ObjectKeyFromObject(vm))
		s.becomes(vm, v1alpha1.HostRejected)
		if got := s.saidOf(vm).Message; got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
