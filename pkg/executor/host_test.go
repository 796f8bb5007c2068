package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func (s *stage) sync() {
	s.t.Helper()
	if err := s.agent.syncHost(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) node() *corev1.Node {
	s.t.Helper()
	node := &corev1.Node{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Name: vmtest.Node}, node); err != nil {
		s.t.Fatal(err)
	}
	return node
}

func (s *stage) hypervisor() *v1alpha1.Hypervisor {
	s.t.Helper()
	hv := &v1alpha1.Hypervisor{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Name: vmtest.Node}, hv); err != nil {
		s.t.Fatal(err)
	}
	return hv
}

// amounts is a resource list as text, to be compared.
func amounts(list corev1.ResourceList) map[string]string {
	out := map[string]string{}
	for name, q := range list {
		out[string(name)] = fmt.Sprint(q.Value())
	}
	return out
}

// equip gives the host hugepages and the configuration a reserve and overcommit.
func equip(s *stage) {
	s.host.description.Pages = libvirt.Pages{Size2Mi: 512, Size1Gi: 1}
	s.host.description.Cells[0].Pages = s.host.description.Pages
	s.config.CPUOvercommit = resource.MustParse("2")
	s.config.Reserve = hostconfig.ReserveConfiguration{CPU: resource.MustParse("500m"), Memory: resource.MustParse("1Gi")}
	s.config.Labels = map[string]string{"topology.kubernetes.io/zone": "a"}
	s.restart()
}

func TestAHostWithoutAKubeletIsRegistered(t *testing.T) {
	s := newStage(t)
	equip(s)
	s.sync()

	now := metav1.Time{Time: vmtest.Now}
	want := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: vmtest.Node, Labels: map[string]string{
			"kubernetes.io/hostname": vmtest.Node, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
			"node.kubernetes.io/exclude-from-external-load-balancers": "",
			"domus.dev/hypervisor": "true", "topology.kubernetes.io/zone": "a",
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "domus.dev/hypervisor", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "ExecutorReady",
				Message: "the vm-executor of this host is running", LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KernelVersion: kernelVersion(false)},
		},
	}
	got := s.node()
	capacity, allocatable := got.Status.Capacity, got.Status.Allocatable
	got.ResourceVersion, got.Status.Capacity, got.Status.Allocatable = "", nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{
		"cpu": "4", "memory": fmt.Sprint(8 << 30), "pods": "0",
		"domus.dev/cpu": "4", "domus.dev/memory": fmt.Sprint(6 << 30),
		"domus.dev/hugepages-2Mi": fmt.Sprint(1 << 30), "domus.dev/hugepages-1Gi": fmt.Sprint(1 << 30),
	}, amounts(capacity)); diff != "" {
		t.Errorf("capacity: %s", diff)
	}
	if diff := cmp.Diff(map[string]string{
		"cpu": "4", "memory": fmt.Sprint(8 << 30), "pods": "0",
		"domus.dev/cpu": "6", "domus.dev/memory": fmt.Sprint(5 << 30),
		"domus.dev/hugepages-2Mi": fmt.Sprint(1 << 30), "domus.dev/hugepages-1Gi": fmt.Sprint(1 << 30),
	}, amounts(allocatable)); diff != "" {
		t.Errorf("allocatable: %s", diff)
	}
	wantStatus := v1alpha1.HypervisorStatus{
		Mode:        v1alpha1.ModeDedicated,
		Capacity:    v1alpha1.HostCapacity{CPU: 4, Memory: 6 << 30, Hugepages2Mi: 1 << 30, Hugepages1Gi: 1 << 30},
		Allocatable: v1alpha1.HostCapacity{CPU: 6, Memory: 5 << 30, Hugepages2Mi: 1 << 30, Hugepages1Gi: 1 << 30},
		Summary:     v1alpha1.HostSummary{Memory: "5Gi", Hugepages: "2Mi:1Gi,1Gi:1Gi", Cells: 1}, CPUOvercommit: "2",
		Cells: []v1alpha1.Cell{{CPUs: "0-3", Memory: 8 << 30, Hugepages: []v1alpha1.PagePool{
			{Size: v1alpha1.PageSize2Mi, Total: 512}, {Size: v1alpha1.PageSize1Gi, Total: 1},
		}}},
		DomainTypes: []v1alpha1.DomainType{{Type: "qemu", Arch: "x86_64", Machines: []string{"pc-q35-7.2"}}},
		Versions:    v1alpha1.Versions{Executor: "v1", Libvirt: "9.0.0", Hypervisor: "7.2.0", Kernel: kernelVersion(false)},
		Conditions: []metav1.Condition{{
			Type: "Ready", Status: metav1.ConditionTrue, Reason: "LibvirtConnected", Message: "the executor reaches libvirt", LastTransitionTime: now,
		}},
	}
	if diff := cmp.Diff(wantStatus, s.hypervisor().Status); diff != "" {
		t.Errorf("hypervisor: %s", diff)
	}
}

func TestAnUnchangedHostIsWrittenOnlyForItsHeartbeat(t *testing.T) {
	s := newStage(t)
	s.sync()
	s.sync() // takes nothing away any more, since the Node is ready
	s.writes = nil
	s.clock.Step(heartbeatEvery - time.Second)
	s.sync()
	if len(s.writes) != 0 {
		t.Errorf("it wrote %v", s.writes)
	}
	s.clock.Step(time.Second)
	s.sync()
	if diff := cmp.Diff([]string{"patch *v1.Node status"}, s.writes); diff != "" {
		t.Error(diff)
	}
}

func TestResourcesThatAKubeletResetsAreSetAgain(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: vmtest.Node},
		Status: corev1.NodeStatus{
			Capacity:    corev1.ResourceList{"cpu": resource.MustParse("4"), "pods": resource.MustParse("110"), "example.com/gpu": resource.MustParse("2")},
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse("3"), "pods": resource.MustParse("110"), "example.com/gpu": resource.MustParse("1")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}},
		},
	}
	s := newStage(t, node)
	s.config.RegisterNode = false
	equip(s)
	s.sync()
	// A kubelet copies capacity to allocatable: both are what may be granted.
	own := map[string]string{
		"domus.dev/cpu": "6", "domus.dev/memory": fmt.Sprint(5 << 30),
		"domus.dev/hugepages-2Mi": fmt.Sprint(1 << 30), "domus.dev/hugepages-1Gi": fmt.Sprint(1 << 30),
	}
	check := func() {
		t.Helper()
		got := s.node()
		for what, list := range map[string]corev1.ResourceList{"capacity": got.Status.Capacity, "allocatable": got.Status.Allocatable} {
			want := map[string]string{"cpu": "4", "pods": "110", "example.com/gpu": "2"}
			if what == "allocatable" {
				want["cpu"], want["example.com/gpu"] = "3", "1"
			}
			for k, v := range own {
				want[k] = v
			}
			if diff := cmp.Diff(want, amounts(list)); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
		}
		if diff := cmp.Diff(node.Status.Conditions, got.Status.Conditions); diff != "" {
			t.Errorf("conditions: %s", diff)
		}
		if diff := cmp.Diff(map[string]string{"domus.dev/hypervisor": "true", "topology.kubernetes.io/zone": "a"}, got.Labels); diff != "" {
			t.Errorf("labels: %s", diff)
		}
	}
	check()
	reset := s.node()
	for name := range reset.Status.Capacity {
		if _, ours := own[string(name)]; ours {
			reset.Status.Capacity[name], reset.Status.Allocatable[name] = resource.Quantity{}, resource.Quantity{}
		}
	}
	if err := s.api.Status().Update(context.Background(), reset); err != nil {
		t.Fatal(err)
	}
	s.sync()
	check()
}

func TestANodeIsNotMadeUpWhereAKubeletShouldBe(t *testing.T) {
	s := newStage(t)
	s.config.RegisterNode = false
	s.restart()
	if err := s.agent.syncHost(context.Background()); err == nil {
		t.Error("a missing Node is no error")
	}
	list := &corev1.NodeList{}
	if err := s.api.List(context.Background(), list); err != nil || len(list.Items) != 0 {
		t.Errorf("got %v, %v", list.Items, err)
	}
}

func TestALostLibvirtTaintsTheNodeAndKeepsOthersTaints(t *testing.T) {
	s := newStage(t)
	s.sync()
	node := s.node()
	theirs := corev1.Taint{Key: "example.com/theirs", Effect: corev1.TaintEffectNoExecute}
	node.Spec.Taints = append(node.Spec.Taints, theirs, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	if err := s.api.Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	s.agent.connected, s.agent.ready = false, false
	s.sync()
	own := corev1.Taint{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}
	lost := corev1.Taint{Key: v1alpha1.LibvirtUnavailableTaint, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &metav1.Time{Time: vmtest.Now}}
	if diff := cmp.Diff([]corev1.Taint{own, theirs, lost}, s.node().Spec.Taints); diff != "" {
		t.Error(diff)
	}
	hv := s.hypervisor()
	ready := hv.Status.Conditions[0]
	if ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonLibvirtUnavailable {
		t.Errorf("got %+v", ready)
	}
	// What is known of the host stays: running guests are accounted there.
	if hv.Status.Capacity.CPU != 4 {
		t.Errorf("capacity: %+v", hv.Status.Capacity)
	}
	s.agent.connected, s.agent.ready = true, true
	s.sync()
	if diff := cmp.Diff([]corev1.Taint{own, theirs}, s.node().Spec.Taints); diff != "" {
		t.Error(diff)
	}
}

func TestForeignDomainsTakeTheirPart(t *testing.T) {
	s := newStage(t)
	s.host.domains["f"] = libvirt.Domain{Name: "theirs", UUID: "f", State: libvirt.StateRunning, CPU: 2, Memory: 1 << 30}
	s.host.domains["g"] = libvirt.Domain{Name: "off", UUID: "g", State: libvirt.StateShutOff, CPU: 1, Memory: 1 << 30}
	s.restart()
	s.sync()
	got := s.hypervisor().Status
	overhead := capacity.Overhead(2, 1<<30, "", usual)
	if diff := cmp.Diff(v1alpha1.HostCapacity{CPU: 2, Memory: 8<<30 - 1<<30 - overhead}, got.Allocatable); diff != "" {
		t.Error(diff)
	}
	if got.ForeignDomains != 2 {
		t.Errorf("got %d foreign domains", got.ForeignDomains)
	}
}

func TestALargeHostsDescriptionStaysSmall(t *testing.T) {
	description := libvirt.Description{}
	for i := range int32(64) {
		cell := libvirt.Cell{ID: i, CPUs: fmt.Sprintf("%d-%d", 4*i, 4*i+3), Siblings: []string{fmt.Sprintf("%d-%d", 4*i, 4*i+1)}, Memory: 64 << 30}
		for j := range int32(64) {
			cell.Distances = append(cell.Distances, libvirt.Distance{Cell: j, Value: 20})
		}
		description.Cells = append(description.Cells, cell)
		description.Devices = append(description.Devices, libvirt.Device{
			Address: fmt.Sprintf("0000:%02x:00.1", i), Vendor: "15b3", Product: "1018", PhysicalFunction: fmt.Sprintf("0000:%02x:00.0", i), Cell: &cell.ID,
		})
	}
	names := func(n int, format string) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return out
	}
	for i := range 8 {
		description.DomainTypes = append(description.DomainTypes, libvirt.DomainType{
			Type: "qemu", Arch: fmt.Sprintf("arch-%d", i), Machines: names(60, "pc-machine-%d"), Firmware: []string{"efi"}, SecureBoot: true,
			CPUModels: names(80, "model-%d-noTSX-IBRS"), CPUFeatures: names(200, "feature-%d"),
		})
	}
	config := hostconfig.HostConfiguration{Devices: []hostconfig.DeviceConfiguration{{Name: "vf", Vendor: "15b3", Product: "1018"}}}
	a := offer(config, description, nil, others{})
	for what, c := range map[string]struct {
		cells int
		want  func(*v1alpha1.HypervisorStatus)
	}{
		"a small host": {1, func(s *v1alpha1.HypervisorStatus) {
			for i := range s.DomainTypes[1:] {
				s.DomainTypes[1+i] = v1alpha1.DomainType{Type: "qemu", Arch: s.DomainTypes[1+i].Arch}
			}
		}},
		"a large host": {64, func(s *v1alpha1.HypervisorStatus) {
			s.DomainTypes = []v1alpha1.DomainType{{Type: "qemu", Arch: "arch-0", Firmware: []string{"efi"}, SecureBoot: true}}
			for i := range s.Devices {
				s.Devices[i].Vendor, s.Devices[i].Product, s.Devices[i].PhysicalFunction = "", "", ""
			}
			for i := range s.Cells {
				s.Cells[i].Distances = nil
			}
		}},
	} {
		got, want := a.status.DeepCopy(), a.status.DeepCopy()
		got.Cells, want.Cells = got.Cells[:c.cells], want.Cells[:c.cells]
		got.Devices, want.Devices = got.Devices[:c.cells], want.Devices[:c.cells]
		c.want(want)
		shrink(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if data, err := json.Marshal(got); err != nil || len(data) > maxHypervisorBytes {
			t.Errorf("%s: %d bytes, %v", what, len(data), err)
		}
	}
}
