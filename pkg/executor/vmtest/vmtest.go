// Package vmtest has VirtualMachines and domains as tests of vm-executor begin with: a VM
// in some state, and the domain of its binding.
package vmtest

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/libvirt"
)

// What the VM of Placed is, and where it is.
const (
	Node    = "host-a"
	Cluster = "cluster-1"
	UID     = "11111111-1111-4111-8111-111111111111"
)

// Now is when it is.
var Now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// Placed is a VM in its epoch 3, bound to the test's host.
func Placed(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guest", UID: UID, Generation: 7, Finalizers: []string{v1alpha1.DomainFinalizer}},
		Spec:       v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, TerminationGracePeriodSeconds: ptr.To[int64](30)},
		Status: v1alpha1.VirtualMachineStatus{
			Epoch:     3,
			Placement: &v1alpha1.Placement{NodeName: Node, Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 30, Overhead: 1 << 27}},
		},
	}
	for _, c := range change {
		c(vm)
	}
	return vm
}

// Deleted has the VM be deleted.
func Deleted(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &metav1.Time{Time: Now} }

// Switched has its guest be switched off.
func Switched(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }

// Unplaced has it be on no host.
func Unplaced(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }

// Moved has it be on another host.
func Moved(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.NodeName = "host-b" }

// NoGrace gives its guest no time to shut down.
func NoGrace(vm *v1alpha1.VirtualMachine) { vm.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0) }

// Evicted has it give up its host.
func Evicted(vm *v1alpha1.VirtualMachine) {
	vm.Status.Eviction = &v1alpha1.Eviction{Reason: "Preempted", Message: "for a VM of higher priority", RequestedAt: metav1.Time{Time: Now}}
}

// Epoch has it be in another epoch.
func Epoch(e int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = e }
}

// Said is what the host reported in the VM's present epoch.
func Said(state v1alpha1.HostState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: state}
	}
}

// Domain is the domain of placed's binding.
func Domain(state libvirt.State, change ...func(*ownership.Observed)) *ownership.Observed {
	d := &ownership.Observed{
		Domain: libvirt.Domain{Name: "default:guest", UUID: UID, State: state, Reason: "crashed"},
		Owned:  true,
		Ownership: convert.Ownership{
			ClusterID:  Cluster,
			Owner:      v1alpha1.Owner{Namespace: "default", Name: "guest", UID: UID, Epoch: 3},
			Generation: 7, Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 30, Overhead: 1 << 27},
		},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

// OfEpoch has the domain be of another epoch.
func OfEpoch(e int64) func(*ownership.Observed) {
	return func(d *ownership.Observed) { d.Ownership.Owner.Epoch = e }
}

// OfAnotherCluster has it be another cluster's.
func OfAnotherCluster(d *ownership.Observed) { d.Ownership.ClusterID = "cluster-2" }

// Recreated has its VM be an earlier one of that name.
func Recreated(d *ownership.Observed) { d.Ownership.Owner.UID = "22222222-2222-4222-8222-222222222222" }

// OfAnother has it be another namespace's.
func OfAnother(d *ownership.Observed) { d.Ownership.Owner.Namespace = "other" }

// Because is libvirt's reason for the domain's state.
func Because(reason string) func(*ownership.Observed) {
	return func(d *ownership.Observed) { d.Reason = reason }
}

// Foreign has the domain be nobody's that is known.
func Foreign(d *ownership.Observed) { d.Owned, d.Ownership = false, convert.Ownership{} }

// Shall is the power state that is wanted.
func Shall(state v1alpha1.PowerState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = state }
}

// PolicyIs is what becomes of a guest that ends.
func PolicyIs(policy v1alpha1.RunPolicy) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = policy }
}

// Releases has the VM give up its host when it is stopped.
func Releases(vm *v1alpha1.VirtualMachine) { vm.Spec.WhenStopped = v1alpha1.SlotRelease }

// SaidOnce is what the host reported of a guest that has run: "Ended
// GuestShutDown".
func SaidOnce(words string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		state, reason, _ := strings.Cut(words, " ")
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: v1alpha1.HostState(state), Reason: reason, Message: "as before"}
		if reason != v1alpha1.ReasonStarting && words != "Failed StartFailed" {
			vm.Status.Host.StartedAt = &metav1.Time{Time: Now.Add(-time.Hour)}
		}
	}
}

// SavedMemory has the guest's memory be saved.
func SavedMemory(d *ownership.Observed) { d.Saved = true }

// Policies are all run policies.
var Policies = []v1alpha1.RunPolicy{v1alpha1.RunAlways, v1alpha1.RunOnFailure, v1alpha1.RunManual, v1alpha1.RunOnce}

// Bound is a VM as the scheduler leaves it.
func Bound(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	return Placed(append([]func(*v1alpha1.VirtualMachine){func(vm *v1alpha1.VirtualMachine) {
		vm.Finalizers = nil
		vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi")}
		vm.Status.Phase = v1alpha1.PhaseScheduled
		vm.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonScheduled, LastTransitionTime: metav1.Time{Time: Now},
		}}
	}}, change...)...)
}
