package review

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// authorize returns an error unless the caller may do verb to the VM name, or to
// VMs of the review's namespace when name is empty.
func (h *Handler) authorize(ctx context.Context, req admission.Request, verb, name string) error {
	access := accessReview(req, verb, name)
	if err := h.client.Create(ctx, access); err != nil {
		// What the API server refuses here it refuses vm-scheduler, not the caller.
		return apierrors.NewInternalError(fmt.Errorf("asking whether %s may %s virtualmachines: %w", req.UserInfo.Username, verb, err))
	}
	if access.Status.Allowed {
		return nil
	}
	// In the API server's own words.
	said := fmt.Errorf("User %q cannot %s resource %q in API group %q in the namespace %q", //nolint:staticcheck // as RBAC says it
		req.UserInfo.Username, verb, virtualMachines.Resource, virtualMachines.Group, req.Namespace)
	if access.Status.EvaluationError != "" {
		said = fmt.Errorf("%w: %s", said, access.Status.EvaluationError)
	}
	return apierrors.NewForbidden(virtualMachines, name, said)
}

var virtualMachines = v1alpha1.Resource("virtualmachines")

// accessReview asks with all that the API server knows of the caller.
func accessReview(req admission.Request, verb, name string) *authorizationv1.SubjectAccessReview {
	user := req.UserInfo
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: req.Namespace, Verb: verb, Name: name,
			Group: virtualMachines.Group, Version: v1alpha1.GroupVersion.Version, Resource: virtualMachines.Resource,
		},
	}
	for key, values := range user.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	return &authorizationv1.SubjectAccessReview{Spec: spec}
}
