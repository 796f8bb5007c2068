package explain

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/features"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func urgently(v *v1alpha1.VirtualMachine) { v.Spec.PriorityClassName = "urgent" }
func never(v *v1alpha1.VirtualMachine)    { v.Spec.PriorityClassName = "never" }
func dedicated(v *v1alpha1.VirtualMachine) {
	v.Spec.Resources.CPUPolicy = v1alpha1.CPUDedicated
}
func inOneCell(v *v1alpha1.VirtualMachine) { v.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }
func inPages(v *v1alpha1.VirtualMachine) {
	v.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
}

func selecting(key, value string) func(v *v1alpha1.VirtualMachine) {
	return func(v *v1alpha1.VirtualMachine) { v.Spec.NodeSelector = map[string]string{key: value} }
}

// selectingByName asks for a Node by the field that PreFilter reads.
func selectingByName(host string) func(v *v1alpha1.VirtualMachine) {
	return func(v *v1alpha1.VirtualMachine) {
		v.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
				Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{host},
			}}}},
		}}}
	}
}

// said is an explanation in lines: the message, then rejections, then changes.
func said(a *v1alpha1.PlacementReviewStatus) []string {
	out := []string{a.Message}
	for _, r := range a.Rejections {
		line := r.Plugin + ": " + r.Reason + " (" + strings.Join(r.NodeNames, ",") + ")"
		if r.Evictable {
			line += " evictable"
		}
		out = append(out, line)
	}
	return append(out, a.Changes...)
}

func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		world func(w *world)
		vm    *v1alpha1.VirtualMachine
		want  []string
	}{
		"it fits": {
			world: func(w *world) { w.host("a"); w.host("b") },
			vm:    vm("asked", 2, 2*gib),
			want:  []string{"fits on 2 of 2 hosts; best is a or 1 more with 490"},
		},
		"there are no hosts": {
			world: func(*world) {},
			vm:    vm("asked", 2, 2*gib),
			want:  []string{"fits nowhere: there are no hosts"},
		},
		"a Node is no host": {
			world: func(w *world) { w.host("a"); w.host("b", noExecutor) },
			vm:    vm("asked", 2, 2*gib),
			want:  []string{"fits on 1 of 1 host; best is a with 490", "HostResources: runs no vm-executor (b)"},
		},
		"too large for any host": {
			world: func(w *world) { w.host("a"); w.host("b"); w.place(vm("other", 1, gib), "b") },
			vm:    vm("asked", 2, 32*gib),
			want: []string{
				"fits on none of 2 hosts: no host that it may use could hold it even when empty",
				"HostResources: need 32Gi of memory, the largest host has 24Gi (a) (a,b)",
				"with at most 24Gi of memory it would fit on a",
			},
		},
		"others are in the way": {
			world: func(w *world) {
				w.host("a")
				w.host("b")
				w.place(vm("one", 12, gib), "a")
				w.place(vm("two", 10, gib), "b")
			},
			vm: vm("asked", 8, gib, urgently),
			want: []string{
				"fits on none of 2 hosts",
				"HostResources: need 8 vCPUs, largest free is 6 (a,b) evictable",
				"with at most 6 vCPUs it would fit on b",
				"evicting VMs of lower priority would make room on 2 hosts",
			},
		},
		"it may not evict": {
			world: func(w *world) { w.host("a"); w.place(vm("one", 12, gib), "a") },
			vm:    vm("asked", 8, gib, never),
			want: []string{
				"fits on none of 1 host", "HostResources: need 8 vCPUs, largest free is 4 (a)",
				"with at most 4 vCPUs it would fit on a",
			},
		},
		"others are as urgent": {
			world: func(w *world) { w.host("a"); w.place(vm("one", 12, gib, urgently), "a") },
			vm:    vm("asked", 8, gib, urgently),
			want: []string{
				"fits on none of 1 host", "HostResources: need 8 vCPUs, largest free is 4 (a)",
				"with at most 4 vCPUs it would fit on a",
			},
		},
		"no cell is large enough": {
			world: func(w *world) { w.host("a") },
			vm:    vm("asked", 2, 6*gib, inOneCell, inPages),
			want: []string{
				"fits on none of 1 host: no host that it may use could hold it even when empty",
				"HostNUMA: need 6Gi of 1Gi hugepages in one cell, the largest host has 4Gi (a) (a)",
				"with at most 4Gi of memory it would fit on a",
				"without hugepages it would fit on a",
				"with numa restricted instead of single-cell it would fit on a",
				"with numa none instead of single-cell it would fit on a",
			},
		},
		"neither less memory nor fewer vCPUs alone": {
			world: func(w *world) { w.host("a"); w.place(vm("one", 12, 20*gib), "a") },
			vm:    vm("asked", 8, 8*gib),
			want: []string{
				"fits on none of 1 host",
				"HostResources: need 8 vCPUs, largest free is 4 (a)", "HostResources: need 8Gi of memory, largest free is 4Gi (a)",
				"with at most 4 vCPUs and 4Gi of memory it would fit on a",
			},
		},
		"too large for any cell, and one host is full": {
			world: func(w *world) { w.host("a"); w.host("b"); w.place(vm("one", 12, gib), "b") },
			vm:    vm("asked", 9, gib, inOneCell, urgently),
			want: []string{
				"fits on none of 2 hosts: no host that it may use could hold it even when empty",
				"HostNUMA: need 9 vCPUs in one cell, the largest host has 8 (a) (a,b)",
				"with at most 8 vCPUs it would fit on a",
				"with numa restricted instead of single-cell it would fit on a",
				"with numa none instead of single-cell it would fit on a",
			},
		},
		"full, and not the host that it names": {
			world: func(w *world) {
				w.host("a", tainted("x"))
				w.host("b")
				w.place(vm("one", 16, gib), "b")
			},
			vm: vm("asked", 2, gib, selectingByName("a")),
			want: []string{
				"fits on none of 2 hosts",
				"NodeAffinity: does not match its nodeSelector or affinity, or refused it lately (b)",
				"TaintToleration: has a taint that it does not tolerate: x=yes:NoSchedule (a)",
				"if it tolerated taint x=yes:NoSchedule it would fit on a",
			},
		},
		"another zone": {
			world: func(w *world) { w.host("a", zone("one")); w.host("b", zone("two")); w.place(vm("one", 16, gib), "a") },
			vm:    vm("asked", 2, gib, selecting(corev1.LabelTopologyZone, "one")),
			want: []string{
				"fits on none of 2 hosts",
				"HostResources: need 2 vCPUs, largest free is 0 (a)",
				"NodeAffinity: does not match its nodeSelector or affinity, or refused it lately (b)",
				"without nodeSelector topology.kubernetes.io/zone=one it would fit on b",
			},
		},
		"another host by its name": {
			world: func(w *world) { w.host("a"); w.host("b"); w.place(vm("one", 16, gib), "a") },
			vm:    vm("asked", 2, gib, selectingByName("a")),
			want: []string{
				"fits on none of 2 hosts",
				"HostResources: need 2 vCPUs, largest free is 0 (a)",
				"NodeAffinity: does not match its nodeSelector or affinity, or refused it lately (b)",
				"without its required node affinity it would fit on b",
			},
		},
		"hosts are closed": {
			world: func(w *world) {
				w.host("a", tainted("x"))
				w.host("b", tainted("x"), tainted("y"))
				w.host("c", cordoned)
			},
			vm: vm("asked", 2, gib),
			want: []string{
				"fits on none of 3 hosts",
				"TaintToleration: have a taint that it does not tolerate: x=yes:NoSchedule (a,b)",
				"NodeUnschedulable: is cordoned (c)",
				"TaintToleration: has a taint that it does not tolerate: y=yes:NoSchedule (b)",
				"once cordoned hosts are open again (`kubectl uncordon HOST`) it would fit on c",
				"if it tolerated taint x=yes:NoSchedule it would fit on a",
				"if it tolerated taint x=yes:NoSchedule and y=yes:NoSchedule it would fit on 2 hosts",
			},
		},
		"hosts do not answer": {
			world: func(w *world) {
				w.host("a", tainted(v1alpha1.ExecutorUnreachableTaint))
				w.host("b", tainted(v1alpha1.ExecutorUnreachableTaint))
				w.host("c", tainted(v1alpha1.LibvirtUnavailableTaint), tainted("x"))
			},
			vm: vm("asked", 2, gib),
			want: []string{
				"fits on none of 3 hosts",
				"TaintToleration: their vm-executor does not answer (taint domus.dev/executor-unreachable=yes:NoSchedule) (a,b)",
				"TaintToleration: its libvirt does not answer (taint domus.dev/libvirt-unavailable=yes:NoSchedule) (c)",
				"TaintToleration: has a taint that it does not tolerate: x=yes:NoSchedule (c)",
				"once vm-executor answers again on hosts with taint domus.dev/executor-unreachable it would fit on 2 hosts",
				"if it tolerated taint x=yes:NoSchedule and once libvirt answers again on hosts with taint domus.dev/libvirt-unavailable it would fit on c",
			},
		},
		"others keep it away": {
			world: func(w *world) { w.host("a"); w.place(vm("one", 1, gib), "a") },
			vm:    vm("asked", 1, gib, apart(corev1.LabelHostname)),
			want: []string{
				"fits on none of 1 host",
				"InterPodAffinity: holds VMs that its anti-affinity excludes (a)",
				"without its required anti-affinity to other VMs it would fit on a",
			},
		},
		"the spread would be too uneven": {
			world: func(w *world) {
				w.host("a", zone("one"))
				w.host("b", zone("two"), cordoned)
				w.place(vm("one", 1, gib), "a")
			},
			vm: vm("asked", 1, gib, spread),
			want: []string{
				"fits on none of 2 hosts",
				"NodeUnschedulable: is cordoned (b)",
				"PodTopologySpread: would break its topologySpreadConstraints (a)",
				"without its spread over topology.kubernetes.io/zone it would fit on a",
				"once cordoned hosts are open again (`kubectl uncordon HOST`) it would fit on b",
			},
		},
		"room is being made for another": {
			world: func(w *world) { w.host("a"); w.nominate(vm("first", 12, gib, urgently), "a") },
			vm:    vm("asked", 8, gib),
			want: []string{
				"fits on none of 1 host", "HostResources: need 8 vCPUs, which is there but promised to other VMs (a)",
				"with at most 4 vCPUs it would fit on a",
			},
		},
		"room is being made for itself": {
			world: func(w *world) { w.host("a"); w.nominate(vm("asked", 12, gib, urgently), "a") },
			vm: vm("asked", 12, gib, urgently, func(v *v1alpha1.VirtualMachine) {
				v.Status.NominatedNodeName = "a"
			}),
			want: []string{"room is being made for it on a; now it fits on 1 of 1 host; best is a with 460"},
		},
		"it is switched off, and a member of a group": {
			world: func(w *world) { w.host("a") },
			vm: vm("asked", 2, 2*gib, func(v *v1alpha1.VirtualMachine) {
				v.Spec.PowerState = v1alpha1.PowerStopped
				v.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: "group"}
			}),
			want: []string{"fits on 1 of 1 host; best is a with 490; looked at alone, while its group is placed at once"},
		},
		"its host refused it": {
			world: func(w *world) { w.host("a") },
			vm: vm("asked", 2, 2*gib, func(v *v1alpha1.VirtualMachine) {
				v.Status.ExcludedHosts = []v1alpha1.HostExclusion{{NodeName: "a"}}
			}),
			want: []string{
				"fits on none of 1 host",
				"NodeAffinity: does not match its nodeSelector or affinity, or refused it lately (a)",
				"once it is no longer kept from a, which refused it, it would fit on a",
			},
		},
		"no host runs its kind of guest": {
			world: func(w *world) { w.host("a") },
			vm: vm("asked", 1, gib, func(v *v1alpha1.VirtualMachine) {
				v.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"type":"kvm"}`)}
			}),
			want: []string{"fits on none of 1 host: no host that it may use runs kvm guests; there are none", "HostCompatibility: runs no kvm guests (a)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.world(w)
			before := c.vm.DeepCopy()
			if diff := cmp.Diff(c.want, said(w.ask(c.vm, v1alpha1.PlacementExplain))); diff != "" {
				t.Errorf("explained (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, c.vm); diff != "" {
				t.Errorf("the VM was changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPlacedVMIsExplainedWithoutItself(t *testing.T) {
	w := newWorld(t)
	w.host("a")
	placed := vm("asked", 16, 16*gib, apart(corev1.LabelHostname))
	w.place(placed, "a")
	answer := w.ask(placed, v1alpha1.PlacementExplain)
	if want := "is on a; without it there it fits on 1 of 1 host; best is a with "; !strings.HasPrefix(answer.Message, want) || answer.NodeName != "a" {
		t.Errorf("said %q of host %q, want %q...", answer.Message, answer.NodeName, want)
	}
	if fit := w.ask(placed, v1alpha1.PlacementFit); fit.Fit.Count != 0 || fit.NodeName != "a" {
		t.Errorf("%d more fit beside the one on %q, want none", fit.Fit.Count, fit.NodeName)
	}
	// It is there for all others.
	if other := w.ask(vm("other", 1, gib), v1alpha1.PlacementExplain); other.Feasible != 0 {
		t.Errorf("another VM fits on %d hosts, want none", other.Feasible)
	}
}

func TestWhatCannotBeAskedIsSaid(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(v *v1alpha1.VirtualMachine)
		want   string
	}{
		"profile": {func(v *v1alpha1.VirtualMachine) { v.Spec.SchedulerName = "other" }, `spec.schedulerName: no profile serves "other": use one of vm-packing, vm-scheduler`},
		"cpu":     {func(v *v1alpha1.VirtualMachine) { v.Spec.Resources.CPU = 0 }, "spec.resources.cpu: must be at least 1"},
		"memory":  {func(v *v1alpha1.VirtualMachine) { v.Spec.Resources.Memory.Set(0) }, "spec.resources.memory: must be more than 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.explainer.Review(context.Background(), vm("asked", 1, gib, c.change), &v1alpha1.PlacementReviewSpec{})
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v, want %s", err, c.want)
			}
		})
	}
	t.Run("time", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.host("a")
		if _, err := w.explainer.Review(ctx, vm("asked", 1, gib), &v1alpha1.PlacementReviewSpec{}); !errors.Is(err, context.Canceled) {
			t.Errorf("said %v, want %v", err, context.Canceled)
		}
	})
}

func TestGroupsAreUnderstood(t *testing.T) {
	featuregatetesting.SetFeatureGatesDuringTest(t, utilfeature.DefaultFeatureGate, featuregatetesting.FeatureOverrides{features.GenericWorkload: true})
	w := newWorld(t)
	w.host("a")
	member := vm("asked", 4, gib, func(v *v1alpha1.VirtualMachine) {
		v.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: "group"}
	})
	if answer := w.ask(member, v1alpha1.PlacementExplain); answer.Feasible != 1 || !strings.Contains(answer.Message, "group") {
		t.Errorf("said %q", answer.Message)
	}
	if fit := w.ask(member, v1alpha1.PlacementFit).Fit; fit.Count != 4 {
		t.Errorf("%d fit, want 4", fit.Count)
	}
}

func TestNothingIsLeft(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.host(name, zone(name))
	}
	placed := vm("placed", 2, gib)
	w.place(placed, "a")
	state := func() map[string]int64 {
		out := map[string]int64{}
		for name, node := range w.sched.Cache.Dump().Nodes {
			out[name] = node.Generation
		}
		return out
	}
	before := state()
	for _, question := range []v1alpha1.PlacementQuestion{v1alpha1.PlacementExplain, v1alpha1.PlacementFit} {
		for _, asked := range []*v1alpha1.VirtualMachine{placed, vm("more", 1, gib, inOneCell, dedicated), vm("more", 1, gib, inOneCell, spread), vm("more", 99, gib, urgently)} {
			w.ask(asked, question)
		}
	}
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("the scheduler's cache changed (-before +after):\n%s", diff)
	}
	if n := w.fleet.Reservations(); n != 0 {
		t.Errorf("%d places are reserved", n)
	}
}
