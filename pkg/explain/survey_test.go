package explain

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/waiting"
)

// An explanation and condition Scheduled say the same of the same hosts: here the
// condition is worded from the scheduler's own snapshot and accounts.
func TestAnExplanationSaysWhatTheConditionSays(t *testing.T) {
	overhead := func(v *v1alpha1.VirtualMachine) {
		v.Spec.Resources.Overhead = resource.NewQuantity(116*mib, resource.BinarySI)
	}
	for name, c := range map[string]struct {
		world func(w *world)
		vm    *v1alpha1.VirtualMachine
		want  string
	}{
		"full": {
			func(w *world) { w.place(vm("one", 15, 22*gib), "a"); w.place(vm("two", 1, 24*gib), "b") }, vm("asked", 1, 4*gib, overhead),
			"2 hosts: need 4Gi + 116Mi overhead of memory, largest free is 2Gi",
		},
		"full in two ways": {
			func(w *world) { w.place(vm("one", 15, 22*gib), "a"); w.place(vm("two", 1, 24*gib), "b") }, vm("asked", 2, 4*gib),
			"2 hosts: need 4Gi of memory, largest free is 2Gi; 1 host: need 2 vCPUs, largest free is 1",
		},
		"too large": {
			func(w *world) { w.place(vm("one", 12, gib), "a") }, vm("asked", 9, gib, inOneCell),
			"no host that it may use could hold it even when empty. 2 hosts: need 9 vCPUs in one cell, the largest host has 8 (a)",
		},
		"promised": {
			func(w *world) { w.place(vm("one", 16, gib), "a"); w.nominate(vm("first", 12, gib, urgently), "b") }, vm("asked", 8, gib),
			"1 host: need 8 vCPUs, largest free is 0; 1 host: need 8 vCPUs, which is there but promised to other VMs",
		},
		"not wanted": {
			func(*world) {}, vm("asked", 1, gib, selecting("x", "y")),
			"2 hosts: do not match its nodeSelector or affinity, or refused it lately",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host("a")
			w.host("b")
			c.world(w)
			answer := w.ask(c.vm, v1alpha1.PlacementExplain)
			explained := strings.TrimPrefix(answer.Message, "fits on none of 2 hosts")
			if explained = strings.TrimPrefix(explained, ": "); explained != "" {
				explained += ". "
			}
			var why []string
			for _, r := range answer.Rejections {
				why = append(why, fmt.Sprintf("%s: %s", hosts(int(r.Hosts)), r.Reason))
			}
			if explained += strings.Join(why, "; "); explained != c.want {
				t.Errorf("explained  %s\nwant       %s", explained, c.want)
			}
			if said := w.condition(c.vm); strings.TrimPrefix(said, "none of 2 hosts can take it: ") != c.want {
				t.Errorf("condition  %s\nwant       %s", said, c.want)
			}
		})
	}
}

// condition is what the VM's condition would say.
func (w *world) condition(v *v1alpha1.VirtualMachine) string {
	w.Helper()
	profile, err := w.explainer.profile(&v.Spec)
	if err != nil {
		w.Fatal(err)
	}
	q, err := w.explainer.inquire(profile, v, &v1alpha1.PlacementReviewSpec{})
	if err != nil {
		w.Fatal(err)
	}
	o, err := q.try(w.Context(), q.vm)
	if err != nil {
		w.Fatal(err)
	}
	_, never, err := q.survey(o, nil)
	if err != nil {
		w.Fatal(err)
	}
	snapshot := internalcache.NewEmptySnapshot()
	if err := w.sched.Cache.UpdateSnapshot(klog.Logger{}, snapshot); err != nil {
		w.Fatal(err)
	}
	fit := &framework.FitError{Pod: o.pod, NumAllNodes: len(o.statuses), Diagnosis: framework.Diagnosis{NodeToStatus: q.statuses(o), PostFilterMsg: never}}
	return waiting.New(w.fleet).Of(o.pod, fit, snapshot.NodeInfos()).Text()
}
