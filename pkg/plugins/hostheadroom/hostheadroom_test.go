package hostheadroom

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
)

func labelled(value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels["rack"] = value }
}

func cordoned(n *corev1.Node) { n.Spec.Unschedulable = true }

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{
		{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule},
		{Key: "gpu", Effect: corev1.TaintEffectNoSchedule},
	}
}

func tolerant(vm *v1alpha1.VirtualMachine) {
	vm.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
}

func onRack(value string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector = map[string]string{"rack": value} }
}

// placed is a VM that is on a host of a test already.
type placed struct {
	host string
	vm   *corev1.Pod
}

func TestFilter(t *testing.T) {
	own := fwk.NewStatus(fwk.Unschedulable, "would leave too little room to restart this VM elsewhere (N+1)")
	nowhere := fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "would leave too little room to restart this VM elsewhere (N+1)")
	kept := func(whose string) *fwk.Status {
		return fwk.NewStatus(fwk.Unschedulable, "would leave too little room to restart "+whose+"'s VMs elsewhere (N+1)")
	}
	for name, test := range map[string]struct {
		topologyKey string
		// nodes are hosts of 8 CPUs, in so many cells.
		nodes []*framework.NodeInfo
		cells int
		vms   []placed
		vm    *corev1.Pod
		want  map[string]*fwk.Status
	}{
		"one host alone can be restarted nowhere": {
			nodes: []*framework.NodeInfo{node("a")}, vm: newTestVM("vm"),
			want: map[string]*fwk.Status{"a": nowhere},
		},
		"two empty hosts hold each other's VMs": {
			nodes: []*framework.NodeInfo{node("a"), node("b")}, vm: newTestVM("vm", sized(8, 1)),
			want: map[string]*fwk.Status{"a": nil, "b": nil},
		},
		"what another host's VMs would need is kept": {
			nodes: []*framework.NodeInfo{node("a"), node("b")}, vms: []placed{{"a", newTestVM("x", sized(6, 1))}}, vm: newTestVM("vm", sized(3, 1)),
			want: map[string]*fwk.Status{"a": own, "b": nowhere},
		},
		"beside it there is room": {
			nodes: []*framework.NodeInfo{node("a"), node("b")}, vms: []placed{{"a", newTestVM("x", sized(6, 1))}}, vm: newTestVM("vm", sized(2, 1)),
			want: map[string]*fwk.Status{"a": nil, "b": nil},
		},
		"one host is enough to keep free for any other": {
			nodes: []*framework.NodeInfo{node("a"), node("b"), node("c")},
			vms:   []placed{{"a", newTestVM("x", sized(6, 1))}, {"b", newTestVM("y", sized(4, 1))}}, vm: newTestVM("vm", sized(3, 1)),
			want: map[string]*fwk.Status{"a": nil /* too full, as others say */, "b": nil, "c": kept("host a")},
		},
		"a closed host is no room": {
			nodes: []*framework.NodeInfo{node("a"), node("b", cordoned)}, vm: newTestVM("vm"),
			want: map[string]*fwk.Status{"a": nowhere, "b": nil},
		},
		"nor is one that does not take the VM": {
			nodes: []*framework.NodeInfo{node("a"), node("b", tainted)}, vm: newTestVM("vm"),
			want: map[string]*fwk.Status{"a": nowhere, "b": nil},
		},
		"but for VMs that it takes": {
			nodes: []*framework.NodeInfo{node("a"), node("b", tainted)}, vm: newTestVM("vm", tolerant),
			want: map[string]*fwk.Status{"a": nil, "b": nil},
		},
		"a VM that can run on one host only": {
			nodes: []*framework.NodeInfo{node("a", labelled("1")), node("b", labelled("2"))}, vm: newTestVM("vm", onRack("1")),
			want: map[string]*fwk.Status{"a": nowhere, "b": nil},
		},
		"hosts of one rack fail together": {
			topologyKey: "rack",
			nodes:       []*framework.NodeInfo{node("a", labelled("1")), node("b", labelled("1")), node("c", labelled("2"))},
			vms:         []placed{{"a", newTestVM("x", sized(4, 1))}, {"b", newTestVM("y", sized(2, 1))}}, vm: newTestVM("vm", sized(3, 1)),
			want: map[string]*fwk.Status{"a": own, "b": own, "c": kept("rack 1")},
		},
		"a host without the label fails alone": {
			topologyKey: "rack",
			nodes:       []*framework.NodeInfo{node("a"), node("b", labelled("1"))}, vm: newTestVM("vm"),
			want: map[string]*fwk.Status{"a": nil, "b": nil},
		},
		"cells are kept too": {
			nodes: []*framework.NodeInfo{node("a"), node("b"), node("c")}, cells: 2,
			vms:  []placed{{"a", newTestVM("x", sized(3, 1), singleCell)}, {"a", newTestVM("y", sized(3, 1), singleCell)}},
			vm:   newTestVM("vm", sized(2, 1), singleCell),
			want: map[string]*fwk.Status{"a": nil, "b": kept("host a"), "c": nil},
		},
		"CPUs that VMs have to themselves are kept too": {
			nodes: []*framework.NodeInfo{node("a"), node("b"), node("c")}, cells: 2,
			vms:  []placed{{"a", newTestVM("x", sized(6, 1), dedicated)}},
			vm:   newTestVM("vm", sized(3, 1)),
			want: map[string]*fwk.Status{"a": nil, "b": kept("host a"), "c": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			for _, n := range test.nodes {
				describe(f, n, test.cells)
				for _, placed := range test.vms {
					if placed.host == n.Node().Name {
						bind(t, f, n, placed.vm)
					}
				}
			}
			p, cs := newPlugin(f, test.topologyKey), framework.NewCycleState()
			if _, status := p.PreFilter(t.Context(), cs, test.vm, list(test.nodes...)); !status.IsSuccess() {
				t.Fatal(status)
			}
			got := map[string]*fwk.Status{}
			for _, n := range test.nodes {
				got[n.Node().Name] = p.Filter(t.Context(), cs, test.vm, n)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// withVM is a host of 8 CPUs with one VM of so many, or none.
func withVM(t *testing.T, f *fleet.Fleet, name string, cpus int32) *framework.NodeInfo {
	t.Helper()
	n := node(name)
	describe(f, n, 0)
	if cpus > 0 {
		bind(t, f, n, newTestVM("on-"+name, sized(cpus, 1)))
	}
	return n
}

func TestWhatAPreemptionRemovesNeedsNoRestart(t *testing.T) {
	f := newFleet(t)
	a, b := withVM(t, f, "a", 8), withVM(t, f, "b", 0)
	p, cs, vm := newPlugin(f, ""), framework.NewCycleState(), newTestVM("vm", sized(8, 1))
	if _, status := p.PreFilter(t.Context(), cs, vm, list(a, b)); !status.IsSuccess() {
		t.Fatal(status)
	}
	if status := p.Filter(t.Context(), cs, vm, a); status.IsSuccess() {
		t.Error("both VMs of a would have to be restarted on b")
	}
	tried, without := cs.Clone(), a.Snapshot()
	victim := a.GetPods()[0]
	if err := without.RemovePod(klog.Background(), victim.GetPod()); err != nil {
		t.Fatal(err)
	}
	p.RemovePod(t.Context(), tried, vm, victim, without)
	if status := p.Filter(t.Context(), tried, vm, without); !status.IsSuccess() {
		t.Errorf("b is free for the one VM that would be on a: %v", status)
	}
	p.AddPod(t.Context(), tried, vm, victim, without)
	if status := p.Filter(t.Context(), tried, vm, without); status.IsSuccess() {
		t.Error("the VM is not removed any more")
	}
	if status := p.Filter(t.Context(), cs, vm, a); status.IsSuccess() {
		t.Error("what was tried has changed the cycle itself")
	}
}

func TestPlansThatKeepTooMuchAreMadeAnew(t *testing.T) {
	f := newFleet(t)
	a, b, c, d := withVM(t, f, "a", 4), withVM(t, f, "b", 4), withVM(t, f, "c", 8), withVM(t, f, "d", 0)
	p, vm := newPlugin(f, ""), newTestVM("vm", sized(4, 1))
	// While d is closed, a and b are kept free for each other.
	closed := d.Node()
	open := closed.DeepCopy()
	closed.Spec.Unschedulable = true
	for _, n := range []*corev1.Node{closed, open} {
		d.SetNode(n)
		p.planner.update(list(a, b, c, d), false, func(n fwk.NodeInfo) (*numa.Usage, bool) { return f.Usage(nil, n) })
	}
	if got := p.planner.hosts["a"].kept.sum.CPU; got != 4 {
		t.Fatalf("%d CPUs of a are kept", got)
	}
	cs := framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), cs, vm, list(a, b, c, d)); !status.IsSuccess() {
		t.Fatal(status)
	}
	if status := p.Filter(t.Context(), cs, vm, a); !status.IsSuccess() {
		t.Errorf("d alone is enough to keep free: %v", status)
	}
}

func TestWhatAHypervisorAloneChangesIsSeen(t *testing.T) {
	f := newFleet(t)
	a, b := node("a"), node("b")
	describe(f, a, 2)
	p, vm := newPlugin(f, ""), newTestVM("vm", sized(3, 1), singleCell)
	for i, test := range []struct {
		// change is of b, where the VM would be restarted.
		change func()
		want   bool
	}{
		{func() {}, false},
		{func() { describe(f, b, 2) }, true},
		{func() { describe(f, b, 4) }, false},
	} {
		test.change()
		cs := framework.NewCycleState()
		if _, status := p.PreFilter(t.Context(), cs, vm, list(a, b)); !status.IsSuccess() {
			t.Fatal(status)
		}
		if status := p.Filter(t.Context(), cs, vm, a); status.IsSuccess() != test.want {
			t.Errorf("step %d: %v", i, status)
		}
	}
}

func TestAVMThatHasRunBeforeIsNotTurnedAway(t *testing.T) {
	p, cs := newPlugin(newFleet(t), ""), framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), cs, newTestVM("vm", evictedOnce), list(node("a"))); !status.IsSkip() {
		t.Errorf("status %v", status)
	}
	p.mode = ModeScore
	if _, status := p.PreFilter(t.Context(), cs, newTestVM("vm"), list(node("a"))); !status.IsSkip() {
		t.Errorf("mode Score: status %v", status)
	}
}

func TestUntilTheHostsAreReadAVMIsTriedAgainSoon(t *testing.T) {
	f := fleettest.Unread(t)
	_, status := newPlugin(f, "").PreFilter(t.Context(), framework.NewCycleState(), newTestVM("vm"), nil)
	if !errors.Is(status.AsError(), fleet.ErrNotSynced) {
		t.Errorf("status %v", status)
	}
}

func TestScore(t *testing.T) {
	f := newFleet(t)
	s := newScheduling(t, f, `{}`, withVM(t, f, "a", 0), withVM(t, f, "b", 0), withVM(t, f, "c", 0))
	bind(t, f, s.nodes[0], newTestVM("x", sized(6, 1)))
	bind(t, f, s.nodes[1], newTestVM("y", sized(4, 1)))
	cs, vm := framework.NewCycleState(), newTestVM("vm", sized(3, 1))
	if status := s.runs.RunPreScorePlugins(t.Context(), cs, vm, list(s.nodes...)); !status.IsSuccess() {
		t.Fatal(status)
	}
	scores, status := s.runs.RunScorePlugins(t.Context(), cs, vm, list(s.nodes...))
	if !status.IsSuccess() {
		t.Fatal(status)
	}
	got := map[string]int64{}
	for _, score := range scores {
		got[score.Name] = score.TotalScore
	}
	if diff := cmp.Diff(map[string]int64{"a": 100, "b": 100, "c": 50}, got); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
}

func TestQueueingHints(t *testing.T) {
	more := func(n *corev1.Node) {
		n.Status.Allocatable = capacity.Resources{CPU: 8, Memory: 64 * gib}.List()
	}
	less := func(n *corev1.Node) { n.Status.Allocatable = capacity.Resources{CPU: 8, Memory: gib}.List() }
	nodeOf := func(change ...func(*corev1.Node)) *corev1.Node { return node("a", change...).Node() }
	bound := newTestVM("left")
	bound.Spec.NodeName = "a"
	elsewhere := newTestVM("elsewhere")
	elsewhere.Status.NominatedNodeName = "b"
	p := newPlugin(newFleet(t), "")
	p.fleet.Took(elsewhere, "a")
	for name, test := range map[string]struct {
		hint     fwk.QueueingHintFn
		old, new any
		want     fwk.QueueingHint
	}{
		"a VM left a host":             {afterVMLeft, bound, nil, fwk.Queue},
		"a VM on its way was deleted":  {afterVMLeft, newTestVM("left"), nil, fwk.Queue},
		"a real pod left":              {afterVMLeft, &corev1.Pod{Spec: corev1.PodSpec{NodeName: "a"}}, nil, fwk.QueueSkip},
		"a VM was bound":               {p.afterVMBound, nil, bound, fwk.QueueSkip},
		"not where room was made":      {p.afterVMBound, nil, elsewhere, fwk.Queue},
		"a host appeared":              {afterNodeChanged, nil, nodeOf(), fwk.Queue},
		"a Node without an executor":   {afterNodeChanged, nil, &corev1.Node{}, fwk.QueueSkip},
		"a host grew":                  {afterNodeChanged, nodeOf(), nodeOf(more), fwk.Queue},
		"a host shrank":                {afterNodeChanged, nodeOf(), nodeOf(less), fwk.QueueSkip},
		"a host was opened":            {afterNodeChanged, nodeOf(cordoned), nodeOf(), fwk.Queue},
		"a host's taint was lifted":    {afterNodeChanged, nodeOf(tainted), nodeOf(), fwk.Queue},
		"a host moved to another rack": {afterNodeChanged, nodeOf(labelled("1")), nodeOf(labelled("2")), fwk.Queue},
		"a host was described":         {afterHostDescribed, nil, hypervisor("1"), fwk.Queue},
		"a host overcommits more":      {afterHostDescribed, hypervisor("1"), hypervisor("2"), fwk.Queue},
		"a heartbeat":                  {afterHostDescribed, hypervisor("1"), hypervisor("1"), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := test.hint(logger, newTestVM("vm"), test.old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func hypervisor(overcommit string) *v1alpha1.Hypervisor {
	return &v1alpha1.Hypervisor{Status: v1alpha1.HypervisorStatus{CPUOvercommit: overcommit}}
}

func TestProfilesSharePlans(t *testing.T) {
	factory := New(newFleet(t))
	plannerOf := func(args string) *planner {
		p, err := factory(t.Context(), &runtime.Unknown{Raw: []byte(args)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.(*plugin).planner
	}
	if plannerOf(`{"mode":"Filter"}`) != plannerOf(`{}`) || plannerOf(`{}`) == plannerOf(`{"topologyKey":"rack"}`) {
		t.Error("profiles share plans just when they have the same topology key")
	}
}

func TestWrongArgumentsNameTheField(t *testing.T) {
	for args, want := range map[string]string{
		`{"mode":"Both"}`:             `pluginConfig[HostHeadroom].args.mode: Unsupported value: "Both": supported values: "Filter", "Score"`,
		`{"failures":2}`:              `pluginConfig[HostHeadroom].args.failures: Invalid value: 2: must be 1`,
		`{"topologyKey":"not a key"}`: `pluginConfig[HostHeadroom].args.topologyKey: Invalid value: "not a key"`,
		`{"reserve":1}`:               `pluginConfig[HostHeadroom].args`,
	} {
		_, err := decode(&runtime.Unknown{Raw: []byte(args)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}
