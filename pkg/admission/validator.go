// Package admission refuses VirtualMachines that could never run, at kubectl
// apply, with the path of what is wrong: amounts that no guest can have, a
// malformed or forbidden domain, affinity or tolerations that mean nothing, a
// document that is too large, a priority class that does not exist. What only a
// schema can tell is in the CRD; what only libvirt can tell, the host says.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/cloudinit"
	"domus.dev/domus/pkg/policy"
)

// Path is where the webhook is served.
const Path = "/validate-domus-dev-v1alpha1-virtualmachine"

// Validator is the validating webhook for VirtualMachines.
type Validator struct {
	reader  client.Reader
	decoder admission.Decoder
	cards   Cards
}

var _ admission.Handler = &Validator{}

// NewValidator returns a Validator. It reads namespaces and priority classes
// with reader only when the answer depends on them, and must not find them
// missing because a cache lags: reader should be live. cards may be nil.
func NewValidator(scheme *runtime.Scheme, reader client.Reader, cards Cards) *Validator {
	return &Validator{reader: reader, decoder: admission.NewDecoder(scheme), cards: cards}
}

// Handle implements admission.Handler.
func (v *Validator) Handle(ctx context.Context, req admission.Request) admission.Response {
	vm := &v1alpha1.VirtualMachine{}
	if err := v.decoder.Decode(req, vm); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the VirtualMachine: %w", err))
	}
	var old *v1alpha1.VirtualMachine
	if req.Operation == admissionv1.Update {
		old = &v1alpha1.VirtualMachine{}
		if err := v.decoder.DecodeRaw(req.OldObject, old); err != nil {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the old VirtualMachine: %w", err))
		}
	}
	errs, err := v.validate(ctx, vm, old)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	if len(errs) == 0 {
		return admission.Allowed("")
	}
	return refuse("VirtualMachine", req.Name, errs)
}

// refuse is a refusal with all that is wrong.
func refuse(kind, name string, errs field.ErrorList) admission.Response {
	var invalid *apierrors.StatusError
	errors.As(apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind(kind).GroupKind(), name, errs), &invalid)
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Allowed: false, Result: &invalid.ErrStatus}}
}

// Check returns what would refuse the creation of vm.
func (v *Validator) Check(ctx context.Context, vm *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	return v.validate(ctx, vm, nil)
}

func (v *Validator) validate(ctx context.Context, vm, old *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	if errs := checkSize(vm); len(errs) > 0 {
		return errs, nil
	}
	errs, err := v.checkPriority(ctx, vm, old)
	if err != nil {
		return nil, err
	}
	if ref := vm.Spec.Class; ref != nil && ref.Revision == 0 {
		errs = append(errs, field.Required(field.NewPath("spec", "class", "revision"),
			"nobody has taken the class over: the API server must ask vm-scheduler about VirtualMachines that name a class (kubectl apply -f manifests/base/webhook/webhook.yaml)"))
	}
	errs = append(errs, checkResources(&vm.Spec.Resources, field.NewPath("spec", "resources"))...)
	errs = append(errs, cloudinit.Validate(vm.Spec.CloudInit, cloudinit.Path)...)
	errs = append(errs, checkBalloon(&vm.Spec)...)
	errs = append(errs, checkDisks(vm, old)...)
	errs = append(errs, checkBootOrder(vm, old)...)
	errs = append(errs, v.checkInterfaces(vm, old)...)
	errs = append(errs, checkProbe(&vm.Spec)...)
	placement, err := checkPlacement(vm)
	if err != nil {
		return nil, err
	}
	domain, err := v.checkDomain(ctx, vm)
	return append(append(errs, placement...), domain...), err
}

// checkSize measures the document as a user writes it: without what the API
// server and Domus add.
func checkSize(vm *v1alpha1.VirtualMachine) field.ErrorList {
	own := vm.DeepCopy()
	own.ManagedFields = nil
	own.Status = v1alpha1.VirtualMachineStatus{}
	// kubectl apply keeps a copy of the document in this annotation.
	delete(own.Annotations, corev1.LastAppliedConfigAnnotation)
	delete(own.Annotations, v1alpha1.GivenAnnotation)
	data, err := json.Marshal(own)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "domain"), "", "cannot be encoded as JSON: "+err.Error())}
	}
	if len(data) <= v1alpha1.MaxDocumentBytes {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec"), fmt.Sprintf("%d bytes", len(data)),
		fmt.Sprintf("a VirtualMachine may be at most %d bytes (128 KiB) as JSON: move large data out of spec.domain and annotations", v1alpha1.MaxDocumentBytes))}
}

// checkPriority refuses a class that does not exist, as Kubernetes does for
// Pods. Only a new name is looked at: a class deleted later hurts nobody.
func (v *Validator) checkPriority(ctx context.Context, vm, old *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	name := vm.Spec.PriorityClassName
	if name == "" || old != nil && old.Spec.PriorityClassName == name {
		return nil, nil
	}
	err := v.reader.Get(ctx, types.NamespacedName{Name: name}, &schedulingv1.PriorityClass{})
	if apierrors.IsNotFound(err) {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "priorityClassName"), name,
			"no PriorityClass has this name: create it, or choose one that `kubectl get priorityclasses` lists")}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading PriorityClass %s: %w", name, err)
	}
	return nil, nil
}

// checkDomain holds the domain against the strictest level first; only a domain
// that fails it costs a read of the namespace's own level.
func (v *Validator) checkDomain(ctx context.Context, vm *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	errs := policy.CheckVirtualMachine(vm, v1alpha1.PolicyRestricted)
	if len(errs) == 0 {
		return nil, nil
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := v.reader.Get(ctx, types.NamespacedName{Name: vm.Namespace}, namespace); err != nil {
		return nil, fmt.Errorf("reading the policy level of Namespace %s: %w", vm.Namespace, err)
	}
	level := v1alpha1.PolicyLevel(namespace.Labels[v1alpha1.PolicyLevelLabel])
	if level != v1alpha1.PolicyPrivileged {
		return errs, nil
	}
	return policy.CheckVirtualMachine(vm, level), nil
}
