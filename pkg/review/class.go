package review

import (
	"context"
	"encoding/json"
	"fmt"

	evanphx "github.com/evanphx/json-patch/v5"
	jsonpatch "gomodules.xyz/jsonpatch/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// withClass returns the review's document with all that a class gives to its
// template, as a VM that is created gets it, and the patch that does so: the API
// server holds the template against its schema afterwards. A document without
// such a template, and one that cannot be read, is returned as it is.
func (h *Handler) withClass(ctx context.Context, req admission.Request) ([]byte, []jsonpatch.Operation, error) {
	review := &v1alpha1.PlacementReview{}
	if h.decoder.DecodeRaw(runtime.RawExtension{Raw: req.Object.Raw}, review) != nil || review.Spec.Template == nil || review.Spec.Template.Spec.Class == nil {
		return req.Object.Raw, nil, nil
	}
	vm := fromTemplate(req.Namespace, review.Spec.Template)
	found, err := h.classes.TakeOver(ctx, vm, nil)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("taking over a class: %w", err))
	}
	if len(found) > 0 {
		return nil, nil, invalid(req.Name, below(field.NewPath("spec", "template"), found))
	}
	const at = "/spec/template/spec/"
	patches := []jsonpatch.Operation{
		jsonpatch.NewOperation("add", at+"class", vm.Spec.Class),
		jsonpatch.NewOperation("add", at+"resources", vm.Spec.Resources),
	}
	if vm.Spec.Domain != nil {
		patches = append(patches, jsonpatch.NewOperation("add", at+"domain", vm.Spec.Domain))
	}
	document, err := patched(req.Object.Raw, patches)
	return document, patches, err
}

// patched is the document after the operations.
func patched(document []byte, operations []jsonpatch.Operation) ([]byte, error) {
	text, err := json.Marshal(operations)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("writing what a class gives: %w", err))
	}
	patch, err := evanphx.DecodePatch(text)
	if err == nil {
		document, err = patch.Apply(document)
	}
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("filling in what a class gives: %w", err))
	}
	return document, nil
}

// below puts a path before those of errs.
func below(at *field.Path, errs field.ErrorList) field.ErrorList {
	for _, err := range errs {
		err.Field = at.String() + "." + err.Field
	}
	return errs
}
