package fleet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// AsHypervisor is the object of an event about a Hypervisor.
func AsHypervisor(obj any) (*v1alpha1.Hypervisor, error) {
	hv, ok := obj.(*v1alpha1.Hypervisor)
	if !ok {
		return nil, fmt.Errorf("expected a Hypervisor that changed, got %T", obj)
	}
	return hv, nil
}

// AsLeft is the object of an event about what left a host, and whether it was a
// VM. A real Pod frees nothing that VMs may use.
func AsLeft(obj any) (left *corev1.Pod, isVM bool, err error) {
	left, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, false, fmt.Errorf("expected a Pod that left a host, got %T", obj)
	}
	return left, podless.IsProjected(left.Name), nil
}

// AsShrunk is what a VM on a host holds less than before, by the objects of an
// event about it; nothing of what is no VM.
func AsShrunk(oldObj, newObj any) (capacity.Resources, error) {
	old, ok := oldObj.(*corev1.Pod)
	now, alsoOK := newObj.(*corev1.Pod)
	if !ok || !alsoOK {
		return capacity.Resources{}, fmt.Errorf("expected a Pod that holds less, got %T and %T", oldObj, newObj)
	}
	if !podless.IsProjected(now.Name) {
		return capacity.Resources{}, nil
	}
	return podless.RequestOf(old).Sub(podless.RequestOf(now)).Floor(), nil
}

// AfterVMBound hints as left does when the VM that was bound leaves room unused
// that had been made for it on another host: that is as if it had left there.
func (f *Fleet) AfterVMBound(logger klog.Logger, pod *corev1.Pod, newObj any, left fwk.QueueingHintFn) (fwk.QueueingHint, error) {
	bound, ok := newObj.(*corev1.Pod)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a Pod that was bound, got %T", newObj)
	}
	if !f.GaveUpRoom(bound) {
		return fwk.QueueSkip, nil
	}
	return left(logger, pod, newObj, nil)
}

// SameOffer says whether both describe the same of what VMs may use of a host,
// in all and by cells.
func SameOffer(a, b *v1alpha1.HypervisorStatus) bool {
	return a.Allocatable == b.Allocatable && a.CPUOvercommit == b.CPUOvercommit &&
		equality.Semantic.DeepEqual(a.Cells, b.Cells) && equality.Semantic.DeepEqual(a.Devices, b.Devices)
}
