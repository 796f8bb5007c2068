package review

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// subject returns the VM that the review is about, if the caller may know it.
func (h *Handler) subject(ctx context.Context, req admission.Request, review *v1alpha1.PlacementReview) (*v1alpha1.VirtualMachine, error) {
	if name := review.Spec.VirtualMachineName; name != "" {
		return h.existing(ctx, req, name)
	}
	return h.imagined(ctx, req, review)
}

// existing reads a VM, after its name and the caller's right to see it are
// checked: who may not see it is not told whether it exists either.
func (h *Handler) existing(ctx context.Context, req admission.Request, name string) (*v1alpha1.VirtualMachine, error) {
	if said := validation.IsDNS1123Subdomain(name); len(said) > 0 {
		return nil, invalid(req.Name, field.ErrorList{field.Invalid(field.NewPath("spec", "virtualMachineName"), name, said[0])})
	}
	if err := h.authorize(ctx, req, "get", name); err != nil {
		return nil, err
	}
	vm := &v1alpha1.VirtualMachine{}
	key := types.NamespacedName{Namespace: req.Namespace, Name: name}
	if err := h.client.Get(ctx, key, vm); apierrors.IsNotFound(err) {
		return nil, err
	} else if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("reading VirtualMachine %s: %w", key, err))
	}
	return vm, nil
}

// imagined returns the VM that a create of the template would make, if the
// caller may create it and it would not be refused.
func (h *Handler) imagined(ctx context.Context, req admission.Request, review *v1alpha1.PlacementReview) (*v1alpha1.VirtualMachine, error) {
	if err := h.authorize(ctx, req, "create", ""); err != nil {
		return nil, err
	}
	vm := fromTemplate(req.Namespace, review.Spec.Template)
	at := field.NewPath("spec", "template")
	errs := metav1validation.ValidateLabels(vm.Labels, at.Child("labels"))
	found, err := h.checker.Check(ctx, vm)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("checking the template: %w", err))
	}
	if errs = append(errs, below(at, found)...); len(errs) > 0 {
		return nil, invalid(req.Name, errs)
	}
	return vm, nil
}

// fromTemplate makes a VM with an identity that no other VM has.
func fromTemplate(namespace string, template *v1alpha1.VirtualMachineTemplate) *v1alpha1.VirtualMachine {
	uid := uuid.NewUUID()
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "placement-review-" + string(uid), UID: uid,
			Labels: template.Labels, CreationTimestamp: metav1.Now(), Generation: 1,
		},
		Spec: template.Spec,
	}
	return vm.DeepCopy()
}
