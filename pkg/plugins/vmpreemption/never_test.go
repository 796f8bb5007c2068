package vmpreemption

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	schedulercache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/podless"
)

// hosts are of 4 CPUs and 4Gi: intel and small have Haswell, amd has EPYC.
func hosts(t *testing.T) *plugin {
	t.Helper()
	f := fleettest.New(t)
	var nodes []*corev1.Node
	for name, model := range map[string]string{"intel": "Haswell", "amd": "EPYC", "small": "Haswell", "tainted": "Foo"} {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 4, Memory: 4 << 30}
		hv.Status.DomainTypes = []v1alpha1.DomainType{{Type: "kvm", Arch: "x86_64", CPUModels: []string{model}}}
		f.See(hv)
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			v1alpha1.ResourceCPU: resource.MustParse("4"), v1alpha1.ResourceMemory: resource.MustParse("4Gi"),
		}}})
	}
	return &plugin{fleet: f, nodes: schedulercache.NewSnapshot(nil, nodes).NodeInfos()}
}

func vm(model string, cpu int32) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm", UID: "u"}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: resource.MustParse("1Gi")}
	vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"cpu":{"model":{"value":"` + model + `"}}}`)}
	podless.Trim(vm)
	return podless.Project(vm, podless.Priority{})
}

func TestNever(t *testing.T) {
	p := hosts(t)
	status := func(code fwk.Code, plugin string) *fwk.Status {
		s := fwk.NewStatus(code, "why")
		s.SetPlugin(plugin)
		return s
	}
	unfit := status(fwk.UnschedulableAndUnresolvable, hostcompatibility.Name)
	tooSmall := status(fwk.UnschedulableAndUnresolvable, hostresources.Name)
	full := status(fwk.Unschedulable, hostresources.Name)
	tainted := status(fwk.UnschedulableAndUnresolvable, "TaintToleration")

	for name, test := range map[string]struct {
		pod      *corev1.Pod
		rejected map[string]*fwk.Status
		want     string
	}{
		"no host runs it": {vm("Foo", 1), map[string]*fwk.Status{"intel": unfit, "amd": unfit, "small": unfit, "tainted": tainted},
			"no host that it may use has CPU model Foo; there are: Haswell, EPYC"},
		"one that would run it is full now": {vm("Haswell", 1), map[string]*fwk.Status{"intel": full, "amd": unfit, "small": unfit, "tainted": tainted}, ""},
		"those that would run it are too small": {vm("Haswell", 8), map[string]*fwk.Status{"intel": tooSmall, "amd": unfit, "small": tooSmall, "tainted": tainted},
			TooLarge},
		"one that is full now would be too small when empty": {vm("Haswell", 8), map[string]*fwk.Status{"intel": full, "amd": unfit, "small": tooSmall, "tainted": tainted},
			TooLarge},
		"those that are too small would not run it": {vm("Foo", 8), map[string]*fwk.Status{"intel": tooSmall, "amd": unfit, "small": tooSmall, "tainted": tainted},
			"no host that it may use has CPU model Foo; there are: Haswell, EPYC"},
		"all hosts were looked at": {vm("Haswell", 8), map[string]*fwk.Status{"intel": tooSmall, "amd": unfit, "small": tooSmall},
			TooLarge},
		"the hosts are out of service": {vm("Foo", 1), map[string]*fwk.Status{"intel": tainted, "amd": tainted, "small": tainted, "tainted": tainted}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Never(p.fleet, p.nodes, framework.NewCycleState(), test.pod, framework.NewNodeToStatus(test.rejected, nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
		})
	}
}
