package fleet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

// informer keeps its handler, for the test to call.
type informer struct{ handler cache.ResourceEventHandler }

func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handler = h
	return synced{}, nil
}

type synced struct{}

func (synced) HasSynced() bool                     { return true }
func (synced) HasSyncedChecker() cache.DoneChecker { return nil }

func newFleet(t *testing.T, hypervisors *informer) *Fleet {
	t.Helper()
	f := New(hypervisors)
	_, err := f.Follow(cache.ResourceEventHandlerFuncs{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// hypervisor has cells of 4 CPUs and 4 GiB each.
func hypervisor(cells int) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	for i := range cells {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(i), CPUs: []string{"0-3", "4-7"}[i], Memory: 4 * gib})
	}
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: int64(4 * cells), Memory: int64(cells) * 4 * gib}
	return hv
}

func nodeInfo(cpu, memory int64, pods ...*corev1.Pod) *framework.NodeInfo {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	n.Status.Allocatable = capacity.Resources{CPU: cpu, Memory: memory}.List()
	info := framework.NewNodeInfo(pods...)
	info.SetNode(n)
	return info
}

// vm is one of one vCPU and 1 GiB in one cell, without overhead.
func vm(uid types.UID, placed *v1alpha1.PlacedCell) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(uid), UID: uid}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{
		CPU: 1, Memory: resource.MustParse("1Gi"), NUMA: v1alpha1.NUMASingleCell, CPUPolicy: v1alpha1.CPUDedicated,
		Overhead: resource.NewQuantity(0, resource.BinarySI),
	}
	if placed != nil {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: "a", Granted: podless.Desired(vm), Cells: []v1alpha1.PlacedCell{*placed}}
	}
	return podless.Project(vm, podless.Priority{})
}

func request(t *testing.T, pod *corev1.Pod) *numa.Request {
	t.Helper()
	r, err := podless.NUMARequestOf(pod)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func pinned(cpu string) *v1alpha1.PlacedCell {
	return &v1alpha1.PlacedCell{CPU: 1, Memory: gib, CPUs: cpu}
}

func TestAHostIsCountedAnewWhenSomethingChanged(t *testing.T) {
	hypervisors := &informer{}
	f, cs := newFleet(t, hypervisors), framework.NewCycleState()
	info := nodeInfo(8, 8*gib)
	free := func() capacity.Resources {
		t.Helper()
		usage, ok := f.Usage(cs, info)
		if !ok {
			t.Fatal("the host runs no executor")
		}
		if again, _ := f.Usage(cs, info); again != usage {
			t.Error("nothing changed, and the host was counted anew")
		}
		return usage.Free()
	}
	want := func(when string, cpu, gibs int64) {
		t.Helper()
		if diff := cmp.Diff(capacity.Resources{CPU: cpu, Memory: gibs * gib}, free()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	if _, ok := f.Usage(cs, info); ok {
		t.Error("a Node whose Hypervisor is not known yet has an account")
	}
	hypervisors.handler.OnAdd(hypervisor(1), false)
	want("the Hypervisor reports less", 4, 4)
	info.AddPod(vm("one", pinned("2")))
	want("a VM came", 3, 3)
	tried := info.Snapshot()
	if usage, _ := f.Usage(cs, tried); usage.Free().CPU != 3 {
		t.Errorf("a copy has %v free", usage.Free())
	}
	tried.AddPodInfo(podInfo(t, vm("two", pinned("3"))))
	if usage, _ := f.Usage(cs, tried); usage.Free().CPU != 2 {
		t.Errorf("a dry run with another VM has %v free", usage.Free())
	}
	want("after a dry run on a copy", 3, 3)
	hypervisors.handler.OnUpdate(nil, hypervisor(2))
	want("the host has grown", 7, 7)
	contradicts := hypervisor(2)
	contradicts.Status.Cells[1].CPUs = "3"
	hypervisors.handler.OnUpdate(nil, contradicts)
	want("a report that contradicts itself: totals alone", 7, 7)
	hypervisors.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "a"})
	if _, ok := f.Usage(cs, info); ok || f.Hypervisor("a") != nil {
		t.Error("the Hypervisor is gone, and the host has an account or is described")
	}
}

func podInfo(t *testing.T, pod *corev1.Pod) fwk.PodInfo {
	t.Helper()
	info, err := framework.NewPodInfo(pod)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestANodeWithoutAnExecutorIsNoHost(t *testing.T) {
	f := newFleet(t, &informer{})
	info := framework.NewNodeInfo()
	info.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	if _, ok := f.Usage(framework.NewCycleState(), info); ok {
		t.Error("it has an account")
	}
}

// groupCycle is the state in which a group's members are tried.
type groupCycle struct{ fwk.CycleState }

func (groupCycle) IsPodGroupSchedulingCycle() bool { return true }

func TestInAGroupsCycleTheVMsThemselvesAreCompared(t *testing.T) {
	f, info := newFleet(t, &informer{}), nodeInfo(8, 8*gib)
	f.See(hypervisor(2))
	generation := info.Generation
	cs := groupCycle{framework.NewCycleState()}
	free := func() int64 {
		usage, _ := f.Usage(cs, info)
		return usage.Free().CPU
	}
	if free() != 8 {
		t.Errorf("%d CPUs are free on the empty host", free())
	}
	// The scheduler keeps the generation when it assumes a member.
	info.AddPod(vm("one", pinned("0")))
	info.Generation = generation
	if free() != 7 {
		t.Errorf("%d CPUs are free beside one member", free())
	}
	if usage, _ := f.Usage(framework.NewCycleState(), nodeInfoAt(info, generation)); usage.Free().CPU != 8 {
		t.Errorf("a cycle without groups sees the members that were tried: %v", usage.Free())
	}
}

// nodeInfoAt is the host without VMs, of the same generation.
func nodeInfoAt(info *framework.NodeInfo, generation int64) *framework.NodeInfo {
	out := nodeInfo(8, 8*gib)
	out.SetNode(info.Node())
	out.Generation = generation
	return out
}

func TestReserve(t *testing.T) {
	pods := &informer{}
	f, info := newFleet(t, &informer{}), nodeInfo(4, 4*gib)
	f.See(hypervisor(1))
	if err := f.FollowVMs(pods); err != nil {
		t.Fatal(err)
	}
	group := "gang"
	member := func(uid types.UID) *corev1.Pod {
		pod := vm(uid, nil)
		pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &group}
		return pod
	}
	reserve := func(uid types.UID) *v1alpha1.Placement {
		t.Helper()
		pod := member(uid)
		if short := f.Reserve(pod, request(t, pod), info); short != nil {
			t.Fatal(short)
		}
		return f.Reserved(pod)
	}
	want := func(uid types.UID, cpu string) {
		t.Helper()
		expected := &v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 1, Memory: gib}, Cells: []v1alpha1.PlacedCell{*pinned(cpu)}}
		if diff := cmp.Diff(expected, reserve(uid)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", uid, diff)
		}
	}
	want("one", "0")
	want("two", "1") // the snapshot knows nothing of the first of its group
	want("two", "1") // again: its own reservation does not stand in its way
	alone := vm("alone", nil)
	if short := f.Reserve(alone, request(t, alone), info); short != nil || f.Reserved(alone).Cells[0].CPUs != "0" {
		t.Errorf("a VM by itself is kept off what only the snapshot does not know: %v", short)
	}
	f.Unreserve(alone)

	f.Unreserve(vm("one", nil))
	want("three", "0")

	// The assumed VM is on the host, and counts by its reservation.
	assumed := vm("two", nil)
	info.AddPod(assumed)
	usage, _ := f.Usage(framework.NewCycleState(), info)
	if got := usage.Taken(0).String(); got != "1" {
		t.Errorf("CPUs %s are taken by the assumed VM", got)
	}
	// It is seen bound: its reservation has ended, and nothing changes.
	if err := info.RemovePod(testLogger(t), assumed); err != nil {
		t.Fatal(err)
	}
	info.AddPod(vm("two", pinned("1")))
	usage, _ = f.Usage(framework.NewCycleState(), info)
	if got := usage.Taken(0).String(); got != "1" || f.Reserved(assumed) != nil {
		t.Errorf("CPUs %s are taken by the bound VM, reserved %v", got, f.Reserved(assumed))
	}
	want("four", "2")
	pods.handler.OnDelete(vm("four", nil))
	f.Unreserve(vm("three", nil))
	if n := f.Reservations(); n != 0 {
		t.Errorf("%d reservations have leaked", n)
	}

	for _, uid := range []types.UID{"five", "six", "seven"} {
		reserve(uid)
	}
	pod := member("eight")
	if short := f.Reserve(pod, request(t, pod), info); short == nil || f.Reserved(pod) != nil {
		t.Errorf("a fifth VM was given a CPU: %v, %v", short, f.Reserved(pod))
	}
}

func TestImpossible(t *testing.T) {
	f, cs := newFleet(t, &informer{}), framework.NewCycleState()
	f.See(hypervisor(2))
	b := hypervisor(1)
	b.Name = "b"
	f.See(b)
	small := nodeInfo(4, 4*gib)
	small.Node().Name = "b"
	nodes := []fwk.NodeInfo{small, nodeInfo(8, 8*gib, vm("one", pinned("2")))}
	ask := func(cpu int32, memory int64, policy v1alpha1.NUMAPolicy) *numa.Request {
		return &numa.Request{Granted: v1alpha1.GrantedResources{CPU: cpu, Memory: memory}, NUMA: policy}
	}
	if f.Impossible(cs, ask(1, gib, ""), nil) {
		t.Error("without hosts nothing is known")
	}
	for name, test := range map[string]struct {
		request *numa.Request
		want    bool
	}{
		"it fits when VMs leave":       {ask(8, 8*gib, ""), false},
		"more CPUs than any host":      {ask(9, gib, ""), true},
		"larger than any cell":         {ask(2, 5*gib, v1alpha1.NUMASingleCell), true},
		"more memory than cells share": {ask(2, 9*gib, v1alpha1.NUMARestricted), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := f.Impossible(cs, test.request, nodes); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func testLogger(t *testing.T) klog.Logger {
	logger, _ := ktesting.NewTestContext(t)
	return logger
}

func TestWhoKeepsSomethingIsToldOfChanges(t *testing.T) {
	source := &informer{}
	f := newFleet(t, source)
	var told []string
	f.OnDescribed(func(name string) { told = append(told, name) })
	source.handler.OnAdd(hypervisor(1), true)
	source.handler.OnUpdate(hypervisor(1), hypervisor(2))
	source.handler.OnDelete(hypervisor(2))
	if diff := cmp.Diff([]string{"a", "a", "a"}, told); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
}

// heard notes what the Fleet knows when the handler behind it is called.
type heard struct {
	fleet *Fleet
	cells []int
}

func (h *heard) note() {
	n := -1
	if hv := h.fleet.Hypervisor("a"); hv != nil {
		n = len(hv.Status.Cells)
	}
	h.cells = append(h.cells, n)
}

func (h *heard) OnAdd(any, bool)   { h.note() }
func (h *heard) OnUpdate(any, any) { h.note() }
func (h *heard) OnDelete(any)      { h.note() }

func TestWhoeverIsWokenFindsWhatWokeHim(t *testing.T) {
	source := &informer{}
	f := New(source)
	if f.Synced() {
		t.Error("nothing is followed yet")
	}
	queue := &heard{fleet: f}
	if _, err := f.Factory(nil).ForResource(hypervisors).Informer().AddEventHandler(queue); err != nil {
		t.Fatal(err)
	}
	source.handler.OnAdd(hypervisor(1), true)
	source.handler.OnUpdate(hypervisor(1), hypervisor(2))
	source.handler.OnDelete(hypervisor(2))
	if diff := cmp.Diff([]int{1, 2, -1}, queue.cells); diff != "" {
		t.Errorf("cells known to the Fleet (-want +got):\n%s", diff)
	}
	if !f.Synced() {
		t.Error("it is followed and synced")
	}
	if _, err := f.Follow(queue); err == nil {
		t.Error("a second handler was registered, which would see events at another time")
	}
}
