package podless

import (
	"errors"
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrNoPodGroups says that groups of VMs are asked for in a cluster that does
// not know PodGroups.
var ErrNoPodGroups = errors.New("feature gate GenericWorkload is on, and the API server serves no podgroups of scheduling.k8s.io/v1beta1: " +
	"start kube-apiserver with --feature-gates=GenericWorkload=true and --runtime-config=scheduling.k8s.io/v1beta1=true, or vm-scheduler without the gate")

// requirePodGroups returns ErrNoPodGroups when the API server serves no
// PodGroups. The scheduler would wait for them at its start, and say nothing.
func requirePodGroups(server discovery.ServerResourcesInterface) error {
	version := schedulingv1beta1.SchemeGroupVersion.String()
	served, err := server.ServerResourcesForGroupVersion(version)
	if apierrors.IsNotFound(err) {
		return ErrNoPodGroups
	}
	if err != nil {
		return fmt.Errorf("asking what is served of %s: %w", version, err)
	}
	for _, r := range served.APIResources {
		if r.Name == "podgroups" {
			return nil
		}
	}
	return ErrNoPodGroups
}

// Member says whether the VM counts in the group it names: it wants a host, or
// holds one that it is not about to leave. A group of which some are evicted is
// not completed by those that are still on their way out.
func Member(vm *v1alpha1.VirtualMachine) bool {
	leaves := vm.DeletionTimestamp != nil || vm.Status.Eviction != nil
	return vm.Spec.SchedulingGroup != nil && visible(vm) && !leaves
}

// untouchable is the priority real Pods are shown with: above any VM's.
var untouchable int32 = math.MaxInt32

// apart takes a real Pod out of what VMs do among themselves: no VM can evict
// it, and it counts in no group of VMs. Preemption for a group compares
// priorities and asks no plugin. Its volumes are dropped: no VM has any, and the
// scheduler's cache counts who uses them for one snapshot alone, whereas VMs are
// explained on a second one.
func apart(obj any) (any, error) {
	if pod, ok := obj.(*corev1.Pod); ok {
		pod.ManagedFields = nil
		pod.Spec.Priority = &untouchable
		pod.Spec.SchedulingGroup = nil
		pod.Spec.Volumes = nil
	}
	return obj, nil
}
