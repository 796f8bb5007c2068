package waiting

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	schedulercache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/vmpreemption"
)

// BenchmarkText is what is said of 5,000 hosts of 4 cells that all turn a VM
// away: which reasons there are, as after each try, and the text with amounts.
func BenchmarkText(b *testing.B) {
	f := fleettest.New(b)
	totals := corev1.ResourceList{
		v1alpha1.ResourceCPU: *resource.NewQuantity(16, resource.DecimalSI), v1alpha1.ResourceMemory: *resource.NewQuantity(32*gib, resource.BinarySI),
	}
	var nodes []*corev1.Node
	var pods []*corev1.Pod
	for i := range 5000 {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("host-%04d", i)}}
		for c, cpus := range []string{"0-3", "4-7", "8-11", "12-15"} {
			hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(c), CPUs: cpus, Memory: 8 * gib})
		}
		hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 16, Memory: 32 * gib}
		f.See(hv)
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hv.Name}, Status: corev1.NodeStatus{Allocatable: totals}})
		pods = append(pods, project(vm("on-"+hv.Name, sized(13, "4Gi"), on(hv.Name))))
	}
	r, hosts := New(f), schedulercache.NewSnapshot(pods, nodes).NodeInfos()
	for name, test := range map[string]struct {
		vm         *v1alpha1.VirtualMachine
		status     *fwk.Status
		postFilter string
	}{
		"totals":    {vm("vm"), says(full, hostresources.Name, "host(s) lack 4 vCPUs"), ""},
		"cells":     {vm("vm", sized(2, "8Gi"), single), says(full, hostnuma.Name, "host(s) lack 8Gi of memory in one cell"), ""},
		"too large": {vm("vm", sized(6, "8Gi"), single), says(final, hostnuma.Name, "host(s) lack 6 vCPUs in one cell"), vmpreemption.TooLarge},
	} {
		statuses := map[string]*fwk.Status{}
		for _, node := range nodes {
			statuses[node.Name] = test.status
		}
		fit := &framework.FitError{NumAllNodes: len(nodes), Diagnosis: framework.Diagnosis{NodeToStatus: framework.NewNodeToStatus(statuses, nil), PostFilterMsg: test.postFilter}}
		pod := project(test.vm)
		b.Log(r.Of(pod, fit, hosts).Text()) // counts the hosts
		b.Run(name+"/substance", func(b *testing.B) {
			for b.Loop() {
				r.Of(pod, fit, hosts)
			}
		})
		b.Run(name+"/text", func(b *testing.B) {
			for b.Loop() {
				r.Of(pod, fit, hosts).Text()
			}
		})
	}
}
