package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/policy"
)

// ClassPath is where the webhook is served that checks classes themselves.
const ClassPath = "/validate-domus-dev-v1alpha1-virtualmachineclass"

// ClassValidator is the validating webhook for VirtualMachineClasses: it refuses
// what no VM could take over, so that it is said to who writes the class and not
// to who uses it.
type ClassValidator struct {
	decoder admission.Decoder
}

var _ admission.Handler = &ClassValidator{}

// NewClassValidator returns a ClassValidator.
func NewClassValidator(scheme *runtime.Scheme) *ClassValidator {
	return &ClassValidator{decoder: admission.NewDecoder(scheme)}
}

// Handle implements admission.Handler.
func (v *ClassValidator) Handle(_ context.Context, req admission.Request) admission.Response {
	class := &v1alpha1.VirtualMachineClass{}
	if err := v.decoder.Decode(req, class); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the VirtualMachineClass: %w", err))
	}
	if errs := checkClass(class); len(errs) > 0 {
		return refuse("VirtualMachineClass", req.Name, errs)
	}
	allowed := admission.Allowed("")
	if errs := policy.CheckVirtualMachine(machineOf(class), v1alpha1.PolicyRestricted); len(errs) > 0 {
		allowed.Warnings = []string{fmt.Sprintf("only VirtualMachines of namespaces labelled %s=%s can have this class: %v",
			v1alpha1.PolicyLevelLabel, v1alpha1.PolicyPrivileged, policy.WithoutRemedy(errs[0]))}
	}
	return allowed
}

// checkClass returns what would refuse any VM of the class.
func checkClass(class *v1alpha1.VirtualMachineClass) field.ErrorList {
	own := class.DeepCopy()
	own.ManagedFields = nil
	delete(own.Annotations, corev1.LastAppliedConfigAnnotation)
	data, err := json.Marshal(own)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "domain"), "", "cannot be encoded as JSON: "+err.Error())}
	}
	if len(data) > v1alpha1.MaxClassBytes {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), fmt.Sprintf("%d bytes", len(data)),
			fmt.Sprintf("a VirtualMachineClass may be at most %d bytes (32 KiB) as JSON: move what is large into the VirtualMachines", v1alpha1.MaxClassBytes))}
	}
	errs := checkResources(&class.Spec.Resources, field.NewPath("spec", "resources"))
	errs = append(errs, checkBalloon(&machineOf(class).Spec)...)
	return append(errs, policy.CheckVirtualMachine(machineOf(class), v1alpha1.PolicyPrivileged)...)
}

// machineOf is a VM that has nothing but what the class gives.
func machineOf(class *v1alpha1.VirtualMachineClass) *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{Spec: v1alpha1.VirtualMachineSpec{Resources: class.Spec.Resources, Domain: class.Spec.Domain}}
}
