package integration

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

var mid = capacity.Resources{CPU: 8, Memory: 32 * gib}

func TestPlace(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	// The scheduler keeps no domain in memory, but counts its devices.
	asked := newVM(ns, "vm", 2, 4, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"devices":{"graphics":[{"vnc":{}}]}}`)}
	})
	create(t, asked)

	vm := waitVM(t, ns, "vm", boundTo(host))
	want := v1alpha1.GrantedResources{CPU: 2, Memory: 4 * gib, Overhead: capacity.Overhead(2, 4*gib, "", capacity.DevicesOf(&asked.Spec))}
	if got := vm.Status.Placement.Granted; got != want {
		t.Errorf("granted %+v, want %+v", got, want)
	}
	if vm.Status.Phase != v1alpha1.PhaseScheduled || vm.Status.Epoch != 0 || vm.Status.ObservedGeneration != vm.Generation {
		t.Errorf("phase %s, epoch %d, observed %d of generation %d", vm.Status.Phase, vm.Status.Epoch, vm.Status.ObservedGeneration, vm.Generation)
	}
	if !meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionScheduled) {
		t.Errorf("Scheduled is not True: %+v", vm.Status.Conditions)
	}
	if note := eventOn(t, ns, "vm", "Scheduled"); !strings.Contains(note, ns+"/vm to "+host) {
		t.Errorf("event says %q", note)
	}
	pods := &corev1.PodList{}
	if err := suite.client.List(t.Context(), pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) > 0 {
		t.Errorf("there are %d pods, want none", len(pods.Items))
	}
}

func TestUnschedulableSaysWhy(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	// Two VMs that do not share a host show that both hosts are known.
	for _, name := range []string{"left", "right"} {
		create(t, newVM(ns, name, 5, 1))
		waitVM(t, ns, name, bound)
	}
	create(t, newVM(ns, "big", 64, 4))

	const why = "2 hosts: need 64 vCPUs, the largest host has 8 ("
	waitVM(t, ns, "big", waiting("Unschedulable", why))
	if note := eventOn(t, ns, "big", "FailedScheduling"); !strings.Contains(note, why) {
		t.Errorf("event says %q", note)
	}
}

func TestFreedCapacityRequeuesAndHeartbeatDoesNot(t *testing.T) {
	s := startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	first := newVM(ns, "first", 8, 1)
	create(t, first)
	waitVM(t, ns, "first", bound)
	create(t, newVM(ns, "second", 8, 1))
	waitVM(t, ns, "second", waiting("Unschedulable", "1 host: need 8 vCPUs, largest free is 0"))

	attempts := func() int {
		return strings.Count(string(s.read()), `"Attempting to schedule pod" pod="`+ns+`/vm:second.0"`)
	}
	before := attempts()
	if before == 0 {
		t.Fatal("the scheduler's log names no attempt: the test cannot tell")
	}
	// Heartbeats: a Node condition, and what a host reports of a VM.
	node := &corev1.Node{}
	get(t, types.NamespacedName{Name: host}, node)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Alive", LastHeartbeatTime: metav1.Now()}}
	if err := suite.client.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	hostSays(t, ns, "first", v1alpha1.HostRunning, "", "")
	stays(t, ns, "second", unbound)
	if after := attempts(); after != before {
		t.Errorf("heartbeats caused %d attempts", after-before)
	}

	remove(first)
	waitVM(t, ns, "second", boundTo(host))
}

func TestSelectorTaintAndAffinity(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 3, mid)
	setNode := func(name string, change func(*corev1.Node)) {
		node := &corev1.Node{}
		get(t, types.NamespacedName{Name: name}, node)
		change(node)
		if err := suite.client.Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	setNode(names[0], func(n *corev1.Node) { n.Labels["disk"] = "fast" })
	setNode(names[1], func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule})
	})
	setNode(names[2], func(n *corev1.Node) { n.Spec.Unschedulable = true })

	create(t, newVM(ns, "selected", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector["disk"] = "fast" }))
	waitVM(t, ns, "selected", boundTo(names[0]))

	create(t, newVM(ns, "tolerant", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.NodeSelector[corev1.LabelHostname] = names[1]
		vm.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
	}))
	waitVM(t, ns, "tolerant", boundTo(names[1]))

	create(t, newVM(ns, "intolerant", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[1] }))
	waitVM(t, ns, "intolerant", waiting("Unschedulable", "taint that it does not tolerate"))

	create(t, newVM(ns, "cordoned", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[2] }))
	waitVM(t, ns, "cordoned", waiting("Unschedulable", "cordoned"))
	setNode(names[2], func(n *corev1.Node) { n.Spec.Unschedulable = false })
	waitVM(t, ns, "cordoned", boundTo(names[2]))
}

func TestAffinityBetweenVMs(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 3, mid)
	term := func(app string) []corev1.PodAffinityTerm {
		return []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}
	}
	apart := func(vm *v1alpha1.VirtualMachine) {
		vm.Labels = map[string]string{"app": "db"}
		vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term("db")}}
	}
	used := map[string]bool{}
	for i := range 3 {
		name := fmt.Sprintf("db-%d", i)
		create(t, newVM(ns, name, 1, 1, apart))
		node := waitVM(t, ns, name, bound).Status.Placement.NodeName
		if used[node] {
			t.Errorf("%s shares %s with another database", name, node)
		}
		used[node] = true
	}
	create(t, newVM(ns, "db-3", 1, 1, apart))
	waitVM(t, ns, "db-3", waiting("Unschedulable", "anti-affinity"))

	node := waitVM(t, ns, "db-1", bound).Status.Placement.NodeName
	create(t, newVM(ns, "cache", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Labels = map[string]string{"app": "cache"}
		vm.Spec.NodeSelector[corev1.LabelHostname] = node
	}))
	waitVM(t, ns, "cache", boundTo(node))
	create(t, newVM(ns, "web", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term("cache")}}
	}))
	waitVM(t, ns, "web", boundTo(node))
}

func TestSpread(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 4, mid)
	count := map[string]int{}
	for i := range 8 {
		name := fmt.Sprintf("vm-%d", i)
		create(t, newVM(ns, name, 1, 1, func(vm *v1alpha1.VirtualMachine) {
			vm.Labels = map[string]string{"app": "web"}
			vm.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			}}
		}))
		count[waitVM(t, ns, name, bound).Status.Placement.NodeName]++
	}
	for node, n := range count {
		if n != 2 {
			t.Errorf("%s holds %d VMs, want 2", node, n)
		}
	}
}

func TestProfilesSpreadAndPack(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	for profile, want := range map[string]int{"vm-scheduler": 4, "vm-packing": 1} {
		t.Run(profile, func(t *testing.T) {
			ns := namespace(t, nil)
			// Among very few hosts vm-scheduler too keeps places for large VMs first.
			hosts(t, ns, 12, mid)
			used := map[string]bool{}
			for i := range 4 {
				name := fmt.Sprintf("vm-%d", i)
				create(t, newVM(ns, name, 2, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = profile }))
				used[waitVM(t, ns, name, bound).Status.Placement.NodeName] = true
			}
			if len(used) != want {
				t.Errorf("4 VMs sit on %d hosts, want %d", len(used), want)
			}
		})
	}
}

func TestKindOfGuest(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	describes(t, names[0], mid, v1alpha1.DomainType{Type: "qemu", Arch: "x86_64"})
	create(t, newVM(ns, "fast", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"type":"kvm"}`)}
	}))
	waitVM(t, ns, "fast", waiting("Unschedulable", "2 hosts: run no kvm guests"))
	describes(t, names[1], mid, v1alpha1.DomainType{Type: "kvm", Arch: "x86_64"})
	waitVM(t, ns, "fast", boundTo(names[1]))
}

func TestMoreVMsThanAKubeletTakesPods(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, capacity.Resources{CPU: 1000, Memory: 1000 * gib})[0]
	const many = 150
	for i := range many {
		create(t, newVM(ns, fmt.Sprintf("vm-%d", i), 1, 1))
	}
	for i := range many {
		waitVM(t, ns, fmt.Sprintf("vm-%d", i), boundTo(host))
	}
}

func TestHugepagesAreNotOrdinaryMemory(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, capacity.Resources{CPU: 8, Memory: 32 * gib, Hugepages2Mi: 4 * gib})[0]
	huge := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}
	}
	create(t, newVM(ns, "fits", 1, 3, huge))
	vm := waitVM(t, ns, "fits", boundTo(host))
	if vm.Status.Placement.Granted.PageSize != v1alpha1.PageSize2Mi {
		t.Errorf("granted %+v", vm.Status.Placement.Granted)
	}
	create(t, newVM(ns, "too-many", 1, 2, huge))
	waitVM(t, ns, "too-many", waiting("Unschedulable", "need 2Gi of 2Mi hugepages, largest free is 1Gi"))
}

func TestOverheadCounts(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	// Less than what is computed is for privileged namespaces.
	ns := namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
	host := hosts(t, ns, 1, capacity.Resources{CPU: 8, Memory: 4*gib + 1<<20})[0]
	create(t, newVM(ns, "vm", 1, 4))
	waitVM(t, ns, "vm", waiting("Unschedulable", "need 4Gi + 108.5Mi overhead of memory, the largest host has 4Gi"))
	create(t, newVM(ns, "says-how-much", 1, 4, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.Overhead = ptr.To(resource.MustParse("1Mi"))
	}))
	vm := waitVM(t, ns, "says-how-much", boundTo(host))
	if got := vm.Status.Placement.Granted.Overhead; got != 1<<20 {
		t.Errorf("granted an overhead of %d bytes, want 1 MiB", got)
	}
}
