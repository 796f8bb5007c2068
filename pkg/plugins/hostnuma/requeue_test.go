package hostnuma

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestQueueingHints(t *testing.T) {
	hv := described("a", 2)
	slow := hv.DeepCopy()
	slow.Status.Versions.Kernel = "6.1"
	more := described("a", 3)
	offers := func(hv *v1alpha1.Hypervisor) *corev1.Node { return node(hv).Node() }
	// The VM that waits wants 3 GiB in pages of one cell.
	waits := func(change ...func(*v1alpha1.VirtualMachine)) *corev1.Pod {
		return projected(vm("vm", append([]func(*v1alpha1.VirtualMachine){sized(2, "3Gi")}, change...)...))
	}
	p := hosts(t, "", hv)
	for name, test := range map[string]struct {
		hint     fwk.QueueingHintFn
		vm       *corev1.Pod
		old, new any
		want     fwk.QueueingHint
	}{
		"a VM left a cell's pages":                       {p.afterVMLeft, waits(), projected(vm("b", on("a", one(0, gib, "")))), nil, fwk.Queue},
		"a VM left that was bound to no cell":            {p.afterVMLeft, waits(), projected(vm("b", numaPolicy(""), on("a"))), nil, fwk.QueueSkip},
		"its vCPUs make room for dedicated CPUs":         {p.afterVMLeft, waits(dedicated), projected(vm("b", numaPolicy(""), on("a"))), nil, fwk.Queue},
		"a VM was deleted while it was bound":            {p.afterVMLeft, waits(), projected(vm("b")), nil, fwk.Queue},
		"a real pod left":                                {p.afterVMLeft, waits(), realPod(), nil, fwk.QueueSkip},
		"a host that holds it is described":              {p.afterHostDescribed, waits(), nil, hv, fwk.Queue},
		"a host without cells is described":              {p.afterHostDescribed, waits(), nil, described("b", 0), fwk.QueueSkip},
		"a host whose cells are too small is described":  {p.afterHostDescribed, waits(sized(5, "1Gi")), nil, hv, fwk.QueueSkip},
		"a host has another kernel and the same cells":   {p.afterHostDescribed, waits(), hv, slow, fwk.QueueSkip},
		"a host has come by a cell":                      {p.afterHostDescribed, waits(), hv, more, fwk.Queue},
		"a Node that offers enough appears":              {p.afterNodeChanged, waits(), nil, offers(hv), fwk.Queue},
		"a Node that offers too little appears":          {p.afterNodeChanged, waits(), nil, offers(withPages(hv, 2*gib)), fwk.QueueSkip},
		"dedicated CPUs may cost less than a vCPU":       {p.afterNodeChanged, waits(dedicated), nil, node(half(hv)).Node(), fwk.Queue},
		"a Node comes to offer more":                     {p.afterNodeChanged, waits(), offers(withPages(hv, 2*gib)), offers(hv), fwk.Queue},
		"a Node offers less than before and enough":      {p.afterNodeChanged, waits(), offers(more), offers(hv), fwk.QueueSkip},
		"a VM left that was promised room and has none":  {p.afterVMLeft, waits(), nominated(projected(vm("b", sized(1, "2Gi")))), nil, fwk.Queue},
		"one that holds other pages left, and its vCPUs": {p.afterVMLeft, waits(), projected(vm("b", ordinary, on("a", one(0, gib, "")))), nil, fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := test.hint(logger, test.vm, test.old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func nominated(pod *corev1.Pod) *corev1.Pod {
	pod.Status.NominatedNodeName = "a"
	return pod
}

// half is the host with one vCPU for two CPUs.
func half(hv *v1alpha1.Hypervisor) *v1alpha1.Hypervisor {
	out := hv.DeepCopy()
	out.Status.CPUOvercommit, out.Status.Allocatable.CPU = "500m", 1
	return out
}
