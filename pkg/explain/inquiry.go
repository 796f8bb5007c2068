package explain

import (
	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// defaultLimit is how many hosts an answer names where nobody says.
const defaultLimit = 10

// inquiry is one question while it is answered. It has the explainer's turn.
type inquiry struct {
	*Explainer
	profile framework.Framework
	// vm is the VM as if it were to be placed now; it may have its domain.
	vm *v1alpha1.VirtualMachine
	// on is the host that holds it, and nominated the one on which room is being
	// made for it; each may be "".
	on, nominated string
	limit         int
}

// inquire begins an inquiry, in a situation without the VM: its own place is free
// to it.
func (e *Explainer) inquire(profile framework.Framework, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*inquiry, error) {
	q := &inquiry{Explainer: e, profile: profile, vm: anew(vm), limit: defaultLimit}
	if vm.Status.Placement == nil {
		q.nominated = vm.Status.NominatedNodeName
	}
	if spec.Limit != nil {
		q.limit = int(*spec.Limit)
	}
	own := &corev1.Pod{}
	own.Name, own.UID = podless.PodName(vm.Name, vm.Status.Epoch), podless.PodUID(vm.UID, vm.Status.Epoch)
	var nodes []string
	if p := vm.Status.Placement; p != nil {
		q.on, nodes = p.NodeName, append(nodes, p.NodeName)
	}
	// Also a VM that is on its way to a host has its place there.
	if known, err := e.cache.GetPod(own); err == nil && known.Spec.NodeName != q.on {
		nodes = append(nodes, known.Spec.NodeName)
	}
	if spec.Question == v1alpha1.PlacementFit {
		// More of its kind come beside it.
		return q, nil
	}
	for _, name := range nodes {
		if err := e.situation.without(own, name); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// anew is a copy of the VM as if it were to be placed now.
func anew(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	out := vm.DeepCopy()
	out.DeletionTimestamp = nil
	out.Spec.PowerState = v1alpha1.PowerRunning
	out.Status = v1alpha1.VirtualMachineStatus{Epoch: vm.Status.Epoch, ExcludedHosts: out.Status.ExcludedHosts}
	return out
}

// project is the Pod that the scheduler would see of a VM.
func (q *inquiry) project(vm *v1alpha1.VirtualMachine) *corev1.Pod {
	if vm.Spec.Domain != nil {
		vm = vm.DeepCopy()
		podless.Trim(vm)
	}
	// A class that does not exist is none, as for VMs that are placed.
	priority, ok := q.priorities.Resolve(vm.Spec.PriorityClassName)
	if !ok {
		priority.PreemptionPolicy = corev1.PreemptLowerPriority
	}
	return podless.Project(vm, priority)
}

// host says whether the node is one: it runs an executor, and is described.
func (q *inquiry) host(node fwk.NodeInfo) bool {
	_, runs := podless.Allocatable(node)
	return runs && q.fleet.Hypervisor(node.Node().Name) != nil
}
