package admission

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1conversion "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// placementFields are the fields a VM shares with Pods.
var placementFields = []string{"nodeSelector", "affinity", "tolerations", "topologySpreadConstraints"}

// checkPlacement holds the fields a VM shares with Pods against what Kubernetes
// demands of a Pod's: the scheduler ignores what is malformed there.
func checkPlacement(vm *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	at := field.NewPath("spec")
	spec := &corev1.PodSpec{
		NodeSelector:                  vm.Spec.NodeSelector,
		Affinity:                      vm.Spec.Affinity,
		Tolerations:                   vm.Spec.Tolerations,
		TopologySpreadConstraints:     vm.Spec.TopologySpreadConstraints,
		TerminationGracePeriodSeconds: ptr.To[int64](0),
	}
	var internal core.PodSpec
	if err := corev1conversion.Convert_v1_PodSpec_To_core_PodSpec(spec.DeepCopy(), &internal, nil); err != nil {
		return nil, fmt.Errorf("reading the placement of VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err)
	}
	var errs field.ErrorList
	for _, err := range validation.ValidatePodSpec(&internal, &vm.ObjectMeta, at, validation.PodValidationOptions{}) {
		for _, name := range placementFields {
			if path := at.Child(name).String(); err.Field == path || strings.HasPrefix(err.Field, path+".") || strings.HasPrefix(err.Field, path+"[") {
				errs = append(errs, err)
			}
		}
	}
	return errs, nil
}
