package hostheadroom

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

func newFleet(t testing.TB) *fleet.Fleet {
	t.Helper()
	f := fleettest.New(t)
	return f
}

// newPlugin is one in mode Filter, with hosts failing by the topology key.
func newPlugin(f *fleet.Fleet, topologyKey string) *plugin {
	p := &plugin{mode: ModeFilter, fleet: f, planner: newPlanner(topologyKey)}
	f.OnDescribed(p.planner.described.add)
	return p
}

// node is a host of 8 CPUs and 32 GiB without cells, with VMs on it.
func node(name string, change ...func(*corev1.Node)) *framework.NodeInfo {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.Allocatable = capacity.Resources{CPU: 8, Memory: 32 * gib}.List()
	for _, f := range change {
		f(n)
	}
	info := framework.NewNodeInfo()
	info.SetNode(n)
	return info
}

// describe makes the node a host of the Fleet. Its cells share its amounts evenly.
func describe(f *fleet.Fleet, n *framework.NodeInfo, cells int) {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: n.Node().Name}}
	r := capacity.FromList(n.Node().Status.Allocatable)
	hv.Status.Allocatable = r.Host()
	for i := range cells {
		per := int(r.CPU) / cells
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(i), CPUs: fmt.Sprintf("%d-%d", i*per, (i+1)*per-1), Memory: r.Memory / int64(cells)})
	}
	f.See(hv)
}

// vm is a VM of one vCPU and 1 GiB, without overhead.
func newTestVM(name string, change ...func(*v1alpha1.VirtualMachine)) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi"), Overhead: resource.NewQuantity(0, resource.BinarySI)}
	for _, f := range change {
		f(vm)
	}
	return podless.Project(vm, podless.Priority{})
}

func sized(cpu int32, memory int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = cpu, *resource.NewQuantity(memory*gib, resource.BinarySI)
	}
}

func singleCell(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }

func dedicated(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.CPUPolicy = v1alpha1.CPUDedicated }

func evictedOnce(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = 1 }

// bind adds the VM to the node as its own status would show it: where Choose
// puts it.
func bind(t testing.TB, f *fleet.Fleet, n *framework.NodeInfo, pod *corev1.Pod) {
	t.Helper()
	u, ok := f.Usage(framework.NewCycleState(), n)
	if !ok {
		t.Fatalf("%s is no host", n.Node().Name)
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		t.Fatal(err)
	}
	a, short := numa.Choose(u, &request)
	if short != nil {
		t.Fatalf("binding %s to %s: %s", pod.Name, n.Node().Name, short)
	}
	bound := pod.DeepCopy()
	bound.Spec.NodeName = n.Node().Name
	if len(a.Cells) > 0 {
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: podless.VMName(pod.Name), UID: types.UID(podless.VMName(pod.Name))}}
		vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: request.Granted.CPU, Memory: *resource.NewQuantity(request.Granted.Memory, resource.BinarySI), Overhead: resource.NewQuantity(0, resource.BinarySI)}
		p := request.Placement(n.Node().Name, a)
		vm.Status.Placement = &p
		bound = podless.Project(vm, podless.Priority{})
	}
	n.AddPod(bound)
}

func list(nodes ...*framework.NodeInfo) []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for _, n := range nodes {
		out = append(out, n)
	}
	return out
}

// restartableByBrute tries all ways to start the VMs on the accounts of other
// hosts.
func restartableByBrute(vms []numa.Request, others []*numa.Usage) bool {
	if len(vms) == 0 {
		return true
	}
	for i, u := range others {
		if slicesHasEqual(others[:i], u) {
			continue
		}
		a, short := numa.Choose(u, &vms[0])
		if short != nil {
			continue
		}
		p := vms[0].Placement("", a)
		with := append([]*numa.Usage{}, others...)
		with[i] = u.Clone()
		if with[i].Add(&p) == nil && restartableByBrute(vms[1:], with) {
			return true
		}
	}
	return false
}

// slicesHasEqual says whether an equal host has been tried.
func slicesHasEqual(tried []*numa.Usage, u *numa.Usage) bool {
	for _, o := range tried {
		if o.Free() == u.Free() && len(u.Host().Cells) == 0 && len(o.Host().Cells) == 0 {
			return true
		}
	}
	return false
}
