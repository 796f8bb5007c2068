package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/hostheadroom"
)

func TestFit(t *testing.T) {
	size := func(cpu int32, memory int64) *v1alpha1.PlacementSize {
		return &v1alpha1.PlacementSize{CPU: cpu, Memory: memory}
	}
	for name, c := range map[string]struct {
		world   func(w *world)
		vm      *v1alpha1.VirtualMachine
		want    v1alpha1.PlacementFitStatus
		message string
	}{
		"on the host as a whole": {
			world: func(w *world) { w.host("a"); w.host("b"); w.place(vm("other", 4, gib), "a") },
			vm:    vm("asked", 2, 2*gib),
			want: v1alpha1.PlacementFitStatus{Count: 14, Largest: size(16, 16*gib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "b", Count: 8, Largest: size(16, 16*gib)}, {NodeName: "a", Count: 6, Largest: size(12, 12*gib)},
			}},
			message: "14 more fit on 2 of 2 hosts; the largest of this shape that fits has 16 vCPUs and 16Gi of memory",
		},
		"in cells, with CPUs of their own": {
			world: func(w *world) { w.host("a") },
			vm:    vm("asked", 3, gib, dedicated, inOneCell),
			want: v1alpha1.PlacementFitStatus{Count: 4, Largest: size(8, 8*gib/3/mib*mib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 4, Largest: size(8, 8*gib/3/mib*mib)},
			}},
			message: "4 more fit on 1 of 1 host; the largest of this shape that fits has 8 vCPUs and 2730Mi of memory",
		},
		"in whole pages": {
			world: func(w *world) { w.host("a") },
			vm:    vm("asked", 3, 2*gib, inPages),
			want: v1alpha1.PlacementFitStatus{Count: 4, Largest: size(13, 8*gib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 4, Largest: size(13, 8*gib)},
			}},
			message: "4 more fit on 1 of 1 host; the largest of this shape that fits has 13 vCPUs and 8Gi of memory",
		},
		"only smaller": {
			world:   func(w *world) { w.host("a"); w.place(vm("other", 12, gib), "a") },
			vm:      vm("asked", 8, 8*gib),
			want:    v1alpha1.PlacementFitStatus{Largest: size(4, 4*gib)},
			message: "no more fit on any of 1 host; the largest of this shape that fits has 4 vCPUs and 4Gi of memory",
		},
		"nothing": {
			world:   func(w *world) { w.host("a"); w.place(vm("other", 16, gib), "a") },
			vm:      vm("asked", 8, 8*gib),
			message: "no more fit on any of 1 host; not even the smallest VM of this shape fits",
		},
		"room is being made for another": {
			world: func(w *world) { w.host("a"); w.nominate(vm("first", 11, gib, urgently), "a") },
			vm:    vm("asked", 2, gib),
			want: v1alpha1.PlacementFitStatus{Count: 2, Largest: size(5, 5*gib/2), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 2, Largest: size(5, 5*gib/2)},
			}},
			message: "2 more fit on 1 of 1 host; the largest of this shape that fits has 5 vCPUs and 2560Mi of memory",
		},
		"apart from each other": {
			world: func(w *world) { w.host("a"); w.host("b") },
			vm:    vm("asked", 1, gib, apart(corev1.LabelHostname)),
			want: v1alpha1.PlacementFitStatus{Count: 2, Largest: size(16, 16*gib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 1, Largest: size(16, 16*gib)}, {NodeName: "b", Count: 1, Largest: size(16, 16*gib)},
			}},
			message: "2 more fit on 2 of 2 hosts; the largest of this shape that fits has 16 vCPUs and 16Gi of memory",
		},
		"one in each zone": {
			world: func(w *world) { w.host("a", zone("one")); w.host("b", zone("one")); w.host("c", zone("two")) },
			vm:    vm("asked", 1, gib, apart(corev1.LabelTopologyZone), inOneCell),
			want: v1alpha1.PlacementFitStatus{Count: 2, Largest: size(8, 8*gib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 1, Largest: size(8, 8*gib)}, {NodeName: "b", Count: 1, Largest: size(8, 8*gib)}, {NodeName: "c", Count: 1, Largest: size(8, 8*gib)},
			}},
			message: "2 more fit on 3 of 3 hosts; the largest of this shape that fits has 8 vCPUs and 8Gi of memory",
		},
		// 4 fit in the zone with one host, so 5 at most in the other one.
		"spread over zones": {
			world: func(w *world) { w.host("a", zone("one")); w.host("b", zone("one")); w.host("c", zone("two")) },
			vm:    vm("asked", 4, gib, spread),
			want: v1alpha1.PlacementFitStatus{Count: 9, Largest: size(16, 4*gib), Hosts: []v1alpha1.PlacementHostFit{
				{NodeName: "a", Count: 1, Largest: size(16, 4*gib)}, {NodeName: "b", Count: 1, Largest: size(16, 4*gib)}, {NodeName: "c", Count: 1, Largest: size(16, 4*gib)},
			}},
			message: "9 more fit on 3 of 3 hosts; the largest of this shape that fits has 16 vCPUs and 4Gi of memory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.world(w)
			answer := w.ask(c.vm, v1alpha1.PlacementFit)
			if diff := cmp.Diff(&c.want, answer.Fit); diff != "" {
				t.Errorf("fit (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.message, answer.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if again := w.ask(c.vm, v1alpha1.PlacementFit); !cmp.Equal(answer, again) {
				t.Errorf("asked again it says (-before +after):\n%s", cmp.Diff(answer, again))
			}
		})
	}
}

// keepingHeadroom turns hosts away that are kept free to restart VMs (N+1).
func keepingHeadroom(p *config.KubeSchedulerProfile) {
	p.Plugins.MultiPoint.Enabled = append(p.Plugins.MultiPoint.Enabled, config.Plugin{Name: hostheadroom.Name, Weight: 1})
	p.PluginConfig = append(p.PluginConfig, config.PluginConfig{Name: hostheadroom.Name, Args: &runtime.Unknown{Raw: []byte(`{"mode":"Filter"}`)}})
}

func TestFitLeavesWhatIsKeptForRestarts(t *testing.T) {
	w := newWorld(t, keepingHeadroom)
	w.host("a")
	w.host("b")
	w.host("c")
	// 2 of 3 hosts can be full.
	if fit := w.ask(vm("asked", 4, gib), v1alpha1.PlacementFit).Fit; fit.Count != 8 || fit.AtLeast {
		t.Errorf("said to fit: %+v, want 8", fit)
	}
}
