package waiting

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	schedulercache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/vmpreemption"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

func vm(name string, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 4, Memory: resource.MustParse("4Gi"), Overhead: resource.NewQuantity(gib/4, resource.BinarySI)}
	for _, f := range change {
		f(vm)
	}
	return vm
}

func project(vm *v1alpha1.VirtualMachine) *corev1.Pod { return podless.Project(vm, podless.Priority{}) }

func on(host string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: podless.Desired(vm)}
	}
}

func sized(cpu int32, memory string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = cpu, resource.MustParse(memory)
	}
}

func single(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }

// hosts are a and b, of 8 CPUs and 16Gi in two cells, and c, of half of that in
// one. a holds a VM of 6 CPUs and 6Gi, b one of 5 CPUs and 12.5Gi.
func hosts(t *testing.T) (*Reasons, fwk.NodeInfoLister) {
	t.Helper()
	f := fleettest.New(t)
	pods := []*corev1.Pod{project(vm("on-a", sized(6, "6Gi"), on("a"))), project(vm("on-b", sized(5, "12Gi"), on("b")))}
	var nodes []*corev1.Node
	for name, cells := range map[string]int{"a": 2, "b": 2, "c": 1} {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for i := range cells {
			hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(i), CPUs: []string{"0-3", "4-7"}[i], Memory: 8 * gib})
		}
		hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: int64(4 * cells), Memory: int64(cells) * 8 * gib}
		f.See(hv)
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			v1alpha1.ResourceCPU:    *resource.NewQuantity(int64(4*cells), resource.DecimalSI),
			v1alpha1.ResourceMemory: *resource.NewQuantity(int64(cells)*8*gib, resource.BinarySI),
		}}})
	}
	return New(f), schedulercache.NewSnapshot(pods, nodes).NodeInfos()
}

func says(code fwk.Code, plugin string, reasons ...string) *fwk.Status {
	return fwk.NewStatus(code, reasons...).WithPlugin(plugin)
}

const (
	full  = fwk.Unschedulable
	final = fwk.UnschedulableAndUnresolvable
)

func TestText(t *testing.T) {
	cpus := says(full, hostresources.Name, "host(s) lack 4 vCPUs")
	both := says(full, hostresources.Name, "host(s) lack 4 vCPUs", "host(s) lack 4Gi + 256Mi overhead of memory")
	tainted := says(final, "TaintToleration", "node(s) had untolerated taint(s)")
	for name, test := range map[string]struct {
		vm       *v1alpha1.VirtualMachine
		statuses map[string]*fwk.Status
		// more are hosts that were not looked at.
		more                  int
		preFilter, postFilter string
		want                  string
	}{
		"full hosts": {vm("vm"), map[string]*fwk.Status{"a": cpus, "b": both, "c": tainted}, 0, "", "evicting VMs of lower priority would not make room",
			"none of 3 hosts can take it: 2 hosts: need 4 vCPUs, largest free is 3; 1 host: need 4Gi + 256Mi overhead of memory, largest free is 3.8Gi; 1 host: has a taint that it does not tolerate. " +
				"Evicting VMs of lower priority would not make room"},
		"a host alone": {vm("vm"), map[string]*fwk.Status{"a": cpus}, 0, "", "", "1 host: need 4 vCPUs, largest free is 2"},
		"full and small hosts": {vm("vm", sized(6, "1Gi")), map[string]*fwk.Status{
			"a": says(full, hostresources.Name, "host(s) lack 6 vCPUs"), "b": says(full, hostresources.Name, "host(s) lack 6 vCPUs"), "c": says(final, hostresources.Name, "host(s) lack 6 vCPUs")}, 0, "", "",
			"none of 3 hosts can take it: 2 hosts: need 6 vCPUs, largest free is 3; 1 host: need 6 vCPUs, the largest host has 4 (c)"},
		"too large for every host, full ones too": {vm("vm", sized(12, "1Gi")), map[string]*fwk.Status{
			"a": says(final, hostresources.Name, "host(s) lack 12 vCPUs"), "b": says(final, hostresources.Name, "host(s) lack 12 vCPUs"), "c": tainted}, 0, "", vmpreemption.TooLarge,
			"no host that it may use could hold it even when empty. 2 hosts: need 12 vCPUs, the largest host has 8 (a); 1 host: has a taint that it does not tolerate"},
		"too large for every cell, and too large for what is free": {vm("vm", sized(6, "1Gi"), single), map[string]*fwk.Status{
			"a": says(full, hostresources.Name, "host(s) lack 6 vCPUs"), "b": says(final, hostnuma.Name, "host(s) lack 6 vCPUs in one cell"), "c": says(final, hostresources.Name, "host(s) lack 6 vCPUs")}, 0, "", vmpreemption.TooLarge,
			"no host that it may use could hold it even when empty. 2 hosts: need 6 vCPUs in one cell, the largest host has 4 (a); 1 host: need 6 vCPUs, the largest host has 4 (c)"},
		"full, and too large in two ways": {vm("vm", sized(12, "16Gi")), map[string]*fwk.Status{"a": cpus, "b": both, "c": says(final, hostresources.Name, "host(s) lack 12 vCPUs")}, 0, "", vmpreemption.TooLarge,
			"no host that it may use could hold it even when empty. 3 hosts: need 12 vCPUs, the largest host has 8 (a); 2 hosts: need 16Gi + 256Mi overhead of memory, the largest host has 16Gi (a)"},
		"in one cell": {vm("vm", sized(2, "4Gi"), single), map[string]*fwk.Status{"c": says(full, hostnuma.Name, "host(s) lack 4Gi of memory in one cell")}, 0, "", "",
			"1 host: need 4Gi of memory in one cell, which is there but promised to other VMs"},
		"a kind of guest": {vm("vm"), map[string]*fwk.Status{"a": says(final, hostcompatibility.Name, "host(s) have no CPU model Foo"), "b": cpus}, 0, "", "no host that it may use has CPU model Foo; there are: Bar",
			"no host that it may use has CPU model Foo; there are: Bar. 1 host: has no CPU model Foo; 1 host: need 4 vCPUs, largest free is 3"},
		"hosts that were not looked at": {vm("vm"), map[string]*fwk.Status{"a": cpus}, 2, "", "",
			"none of 3 hosts can take it: 2 hosts: do not match its nodeSelector or affinity, or refused it lately; 1 host: need 4 vCPUs, largest free is 2"},
		"none was looked at": {vm("vm"), map[string]*fwk.Status{"a": tainted, "b": tainted, "c": tainted}, 0, "node(s) didn't match Pod's node affinity/selector", "",
			"none of 3 hosts can take it: do not match its nodeSelector or affinity, or refused it lately"},
		"a host that is gone": {vm("vm"), map[string]*fwk.Status{"gone": cpus}, 0, "", "", "1 host: need 4 vCPUs"},
		"what Reserve says":   {vm("vm", single), map[string]*fwk.Status{"a": says(full, hostnuma.Name, "host a: need 4 vCPUs in one cell, the largest free is 2")}, 0, "", "", "1 host: host a: need 4 vCPUs in one cell, the largest free is 2"},
	} {
		t.Run(name, func(t *testing.T) {
			r, nodes := hosts(t)
			absent := fwk.NewStatus(final, "node(s) didn't satisfy plugin(s) [NodeAffinity]")
			fit := &framework.FitError{NumAllNodes: len(test.statuses) + test.more, Diagnosis: framework.Diagnosis{
				NodeToStatus: framework.NewNodeToStatus(test.statuses, absent), PreFilterMsg: test.preFilter, PostFilterMsg: test.postFilter,
			}}
			if diff := cmp.Diff(test.want, r.Of(project(test.vm), fit, nodes).Text()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// A waiting VM is told which taint keeps it off, and anew when that is another.
func TestTaintsAreNamed(t *testing.T) {
	r := New(fleettest.New(t))
	of := func(taints ...corev1.Taint) podless.Reason {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.NodeSpec{Taints: taints}}
		fit := &framework.FitError{NumAllNodes: 1, Diagnosis: framework.Diagnosis{
			NodeToStatus: framework.NewNodeToStatus(map[string]*fwk.Status{"a": says(final, "TaintToleration", "node(s) had untolerated taint(s)")}, nil),
		}}
		return r.Of(project(vm("vm")), fit, schedulercache.NewSnapshot(nil, []*corev1.Node{node}).NodeInfos())
	}
	x := corev1.Taint{Key: "x", Value: "1", Effect: corev1.TaintEffectNoSchedule}
	silent := corev1.Taint{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule}
	for _, test := range []struct {
		taints []corev1.Taint
		want   string
	}{
		{[]corev1.Taint{x, {Key: "y", Effect: corev1.TaintEffectPreferNoSchedule}}, "1 host: has a taint that it does not tolerate: x=1:NoSchedule"},
		{[]corev1.Taint{silent}, "1 host: its vm-executor does not answer (taint domus.dev/executor-unreachable:NoSchedule)"},
		{nil, "1 host: has a taint that it does not tolerate"},
	} {
		if got := of(test.taints...).Text(); got != test.want {
			t.Errorf("of %v: %q, want %q", test.taints, got, test.want)
		}
	}
	if of(x).Substance == of(silent).Substance {
		t.Error("another taint, and the substance is the same")
	}
}

// Which hosts are full is no matter to a VM that is too large for all of them,
// and how many there are to none.
func TestSubstance(t *testing.T) {
	r, nodes := hosts(t)
	of := func(postFilter string, statuses map[string]*fwk.Status) podless.Reason {
		return r.Of(project(vm("vm")), &framework.FitError{NumAllNodes: len(statuses), Diagnosis: framework.Diagnosis{
			NodeToStatus: framework.NewNodeToStatus(statuses, nil), PostFilterMsg: postFilter,
		}}, nodes)
	}
	cpus, memory := says(full, hostresources.Name, "host(s) lack 4 vCPUs"), says(full, hostresources.Name, "host(s) lack 4Gi of memory")
	small, tainted := says(final, hostresources.Name, "host(s) lack 4 vCPUs"), says(final, "TaintToleration", "node(s) had untolerated taint(s)")
	type statuses = map[string]*fwk.Status
	one := of("", statuses{"a": cpus, "b": tainted})
	for name, test := range map[string]struct {
		other podless.Reason
		same  bool
	}{
		"more hosts":        {of("", statuses{"a": cpus, "b": cpus, "c": tainted, "d": tainted}), true},
		"another reason":    {of("", statuses{"a": memory, "b": tainted}), false},
		"one reason more":   {of("", statuses{"a": cpus, "b": tainted, "c": memory}), false},
		"one reason less":   {of("", statuses{"a": cpus}), false},
		"too small now":     {of("", statuses{"a": small, "b": tainted}), false},
		"what eviction did": {of("evicting does not help", statuses{"a": cpus, "b": tainted}), false},
	} {
		if same := test.other.Substance == one.Substance; same != test.same || test.other.Verdict != "" {
			t.Errorf("%s: same %t, verdict %q", name, same, test.other.Verdict)
		}
	}
	never, too := of(vmpreemption.TooLarge, statuses{"a": cpus, "b": small}), of(vmpreemption.TooLarge, statuses{"a": memory, "b": cpus, "c": small})
	if never.Verdict == "" || never.Verdict != too.Verdict || never.Substance != too.Substance {
		t.Errorf("too large: %+v and %+v", never, too)
	}
	if tainted := of(vmpreemption.TooLarge, statuses{"a": cpus, "b": tainted}); tainted.Substance == never.Substance {
		t.Error("too large, and a taint: the substance is the same")
	}
}
