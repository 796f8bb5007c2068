package hostresources

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

// overhead is that of the VMs below: one vCPU, one GiB.
var overhead = capacity.Overhead(1, gib, "", capacity.DevicesOf(&v1alpha1.VirtualMachineSpec{}))

func projected(name, node string, change ...func(*v1alpha1.VirtualMachine)) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "u"}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi")}
	for _, f := range change {
		f(vm)
	}
	if node != "" {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: node, Granted: capacity.Desired(&vm.Spec)}
	}
	return podless.Project(vm, podless.Priority{})
}

func huge(vm *v1alpha1.VirtualMachine) {
	vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}
}

func host(r capacity.Resources) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "host"}}
	node.Status.Allocatable = r.List()
	return node
}

func named(name string, node *corev1.Node) *corev1.Node {
	node.Name = name
	return node
}

func info(node *corev1.Node, pods ...*corev1.Pod) fwk.NodeInfo {
	n := framework.NewNodeInfo(pods...)
	n.SetNode(node)
	return n
}

func realPod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "real"}}
	pod.Spec.NodeName = "host"
	pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("3Gi"),
	}}}}
	return pod
}

func TestFilter(t *testing.T) {
	one := capacity.Resources{CPU: 1, Memory: gib + overhead, Hugepages2Mi: gib}
	for name, test := range map[string]struct {
		vm   *corev1.Pod
		node fwk.NodeInfo
		want *fwk.Status
	}{
		"fits exactly":                       {projected("vm", ""), info(host(one)), nil},
		"no executor":                        {projected("vm", ""), info(&corev1.Node{}), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) run no vm-executor")},
		"no Hypervisor":                      {projected("vm", ""), info(named("new", host(one))), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) have no Hypervisor")},
		"another VM holds it":                {projected("vm", ""), info(host(one), projected("other", "host")), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 1 vCPU", "host(s) lack 1Gi + 96.1Mi overhead of memory")},
		"a real pod takes nothing from VMs":  {projected("vm", ""), info(host(one), realPod()), nil},
		"pods and VMs are told apart":        {projected("vm", ""), info(host(one), realPod(), projected("other", "host")), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 1 vCPU", "host(s) lack 1Gi + 96.1Mi overhead of memory")},
		"the overhead is part of it":         {projected("vm", ""), info(host(capacity.Resources{CPU: 1, Memory: gib})), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) lack 1Gi + 96.1Mi overhead of memory")},
		"hugepages are taken from the pool":  {projected("vm", "", huge), info(host(one)), nil},
		"memory does not stand in for pages": {projected("vm", "", huge), info(host(capacity.Resources{CPU: 8, Memory: 64 * gib})), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) lack 1Gi of 2Mi hugepages")},
		"pages do not stand in for memory":   {projected("vm", ""), info(host(capacity.Resources{CPU: 8, Memory: overhead, Hugepages2Mi: 64 * gib})), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) lack 1Gi + 96.1Mi overhead of memory")},
		"what a shrunk host lacks elsewhere": {projected("vm", ""), info(host(capacity.Resources{CPU: 8, Memory: 64 * gib}), projected("other", "host", huge)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, cs := newPlugin(t, ""), framework.NewCycleState()
			if _, status := p.PreFilter(t.Context(), cs, test.vm, nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			if diff := cmp.Diff(test.want, p.Filter(t.Context(), cs, test.vm, test.node)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func newPlugin(t testing.TB, args string) *plugin {
	t.Helper()
	var obj runtime.Object
	if args != "" {
		obj = &runtime.Unknown{Raw: []byte(args)}
	}
	f := fleettest.New(t)
	decoded, err := decode(obj)
	if err != nil {
		t.Fatal(err)
	}
	// Its Node says less.
	plenty := capacity.Resources{CPU: 1 << 20, Memory: 1 << 50, Hugepages2Mi: 1 << 50, Hugepages1Gi: 1 << 50}
	f.See(describedAs(plenty))
	return &plugin{fleet: f, scorer: newScorer(decoded.ScoringStrategy)}
}

func TestScore(t *testing.T) {
	total := capacity.Resources{CPU: 4, Memory: 4 * (gib + overhead)}
	most := `{"scoringStrategy":{"type":"MostAllocated"}}`
	for name, test := range map[string]struct {
		args string
		node fwk.NodeInfo
		want int64
	}{
		// One of four quarters is asked for: 75 of cpu and 75 of memory.
		"an empty host":              {"", info(host(total)), 75},
		"one VM there":               {"", info(host(total), projected("a", "host")), 50},
		"full with this VM":          {"", info(host(total), projected("a", "host"), projected("b", "host"), projected("c", "host")), 0},
		"less cpu: 50, and 75":       {"", info(host(capacity.Resources{CPU: 2, Memory: 4 * (gib + overhead)})), 62},
		"packing an empty host":      {most, info(host(total)), 25},
		"packing with this VM":       {most, info(host(total), projected("a", "host"), projected("b", "host"), projected("c", "host")), 100},
		"cpu counts three times":     {`{"scoringStrategy":{"resources":[{"name":"cpu","weight":3},{"name":"memory"}]}}`, info(host(capacity.Resources{CPU: 2, Memory: 4 * (gib + overhead)})), 56},
		"memory does not count":      {`{"scoringStrategy":{"resources":[{"name":"cpu"}]}}`, info(host(capacity.Resources{CPU: 2, Memory: 4 * (gib + overhead)})), 50},
		"pages count for who asks":   {`{"scoringStrategy":{"resources":[{"name":"hugepages-1Gi"}]}}`, info(host(total)), 100},
		"a shape: 25 is half way up": {`{"scoringStrategy":{"type":"RequestedToCapacityRatio","requestedToCapacityRatio":{"shape":[{"utilization":0,"score":0},{"utilization":50,"score":10}]}}}`, info(host(total)), 50},
	} {
		t.Run(name, func(t *testing.T) {
			p, cs, vm := newPlugin(t, test.args), framework.NewCycleState(), projected("vm", "")
			p.PreFilter(t.Context(), cs, vm, nil)
			got, status := p.Score(t.Context(), cs, vm, test.node)
			if !status.IsSuccess() || got != test.want {
				t.Errorf("score %d, %v; want %d", got, status, test.want)
			}
		})
	}
}

func TestQueueingHints(t *testing.T) {
	small, large := capacity.Resources{CPU: 1, Memory: gib}, capacity.Resources{CPU: 2, Memory: 4 * gib}
	p := newPlugin(t, "")
	for name, test := range map[string]struct {
		hint     fwk.QueueingHintFn
		old, new any
		want     fwk.QueueingHint
	}{
		"a VM left a host":                    {p.afterVMLeft, projected("a", "host"), nil, fwk.Queue},
		"a VM was bound":                      {p.afterVMBound, nil, projected("a", "host"), fwk.QueueSkip},
		"a VM was deleted while it was bound": {p.afterVMLeft, projected("a", ""), nil, fwk.Queue},
		"a real pod left":                     {p.afterVMLeft, realPod(), nil, fwk.QueueSkip},
		"a large enough host appeared":        {p.afterHostChanged, nil, host(large), fwk.Queue},
		"a host that is too small appeared":   {p.afterHostChanged, nil, host(small), fwk.QueueSkip},
		"a host grew enough":                  {p.afterHostChanged, host(small), host(large), fwk.Queue},
		"a host shrank":                       {p.afterHostChanged, host(capacity.Resources{CPU: 4, Memory: 8 * gib}), host(large), fwk.QueueSkip},
		"a pool grew that it needs not":       {p.afterHostChanged, host(large), host(large.Add(capacity.Resources{Hugepages1Gi: gib})), fwk.QueueSkip},
		"a large enough host is described":    {p.afterHostDescribed, nil, describedAs(large), fwk.Queue},
		"too small a host is described":       {p.afterHostDescribed, nil, describedAs(small), fwk.QueueSkip},
		"a host is described as larger":       {p.afterHostDescribed, describedAs(small), describedAs(large), fwk.Queue},
		"a host is described as it was":       {p.afterHostDescribed, describedAs(large), describedAs(large), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := test.hint(logger, projected("vm", ""), test.old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestAVMThatTookAnotherHostThanItWasPromisedWakes(t *testing.T) {
	p, bound := newPlugin(t, ""), projected("a", "host")
	for nominated, want := range map[string]fwk.QueueingHint{"": fwk.QueueSkip, "host": fwk.QueueSkip, "other": fwk.Queue} {
		bound.Status.NominatedNodeName = nominated
		if status := p.Reserve(t.Context(), nil, bound, "host"); !status.IsSuccess() {
			t.Fatal(status)
		}
		logger, _ := ktesting.NewTestContext(t)
		// What is seen bound says nothing of its nomination.
		if got, err := p.afterVMBound(logger, projected("vm", ""), nil, projected("a", "host")); err != nil || got != want {
			t.Errorf("nominated to %q: hint %v, %v; want %v", nominated, got, err, want)
		}
		p = newPlugin(t, "")
	}
}

func describedAs(r capacity.Resources) *v1alpha1.Hypervisor {
	return &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "host"}, Status: v1alpha1.HypervisorStatus{Allocatable: r.Host()}}
}

func BenchmarkFilterAndScore(b *testing.B) {
	total := capacity.Resources{CPU: 128, Memory: 512 * gib}
	var pods []*corev1.Pod
	for i := range 50 {
		pods = append(pods, projected(fmt.Sprintf("vm-%d", i), "host"))
	}
	p, cs, vm, node := newPlugin(b, ""), framework.NewCycleState(), projected("vm", ""), info(host(total), pods...)
	p.PreFilter(b.Context(), cs, vm, nil)
	b.ReportAllocs()
	for b.Loop() {
		if status := p.Filter(b.Context(), cs, vm, node); !status.IsSuccess() {
			b.Fatal(status)
		}
		if _, status := p.Score(b.Context(), cs, vm, node); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
}

func TestWrongArgumentsNameTheField(t *testing.T) {
	for args, want := range map[string]string{
		`{"scoringStrategy":{"type":"Best"}}`:                               `pluginConfig[HostResources].args.scoringStrategy.type: Unsupported value: "Best"`,
		`{"scoringStrategy":{"resources":[{"name":"disk"}]}}`:               `args.scoringStrategy.resources[0].name: Unsupported value: "disk"`,
		`{"scoringStrategy":{"resources":[{"name":"cpu"},{"name":"cpu"}]}}`: `args.scoringStrategy.resources[1].name: Duplicate value: "cpu"`,
		`{"scoringStrategy":{"resources":[{"name":"cpu","weight":101}]}}`:   `args.scoringStrategy.resources[0].weight: Invalid value: 101`,
		`{"scoringStrategy":{"type":"RequestedToCapacityRatio"}}`:           `args.scoringStrategy.requestedToCapacityRatio.shape: Required value`,
		`{"scoringStrategy":{"requestedToCapacityRatio":{"shape":[]}}}`:     `args.scoringStrategy.requestedToCapacityRatio: Forbidden`,
		`{"scoringStrategy":{"type":"RequestedToCapacityRatio","requestedToCapacityRatio":{"shape":[{"utilization":9,"score":1},{"utilization":9,"score":11}]}}}`: `shape[1].score: Invalid value: 11`,
		`{"scoringStrategie":{}}`: `pluginConfig[HostResources].args`,
	} {
		_, err := decode(&runtime.Unknown{Raw: []byte(args)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}
