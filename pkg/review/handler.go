// Package review answers PlacementReviews: the mutating webhook that holds a
// review's caller to their own rights, finds the VM it is about, has it looked
// at and returns the answer as the review's status. What the answer is, is not
// decided here.
package review

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/explain"
)

// Path is where the webhook is served.
const Path = "/answer-domus-dev-v1alpha1-placementreview"

// timeout leaves the API server, which waits for 30 seconds, time to hear why
// there is no answer.
const timeout = 25 * time.Second

// Explainer says where a VM would go. vm is as the API server has it, or made
// from the review's template.
type Explainer interface {
	Review(ctx context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error)
}

// Checker returns what would refuse the creation of a VM.
type Checker interface {
	Check(ctx context.Context, vm *v1alpha1.VirtualMachine) (field.ErrorList, error)
}

// Classes writes into a VM what its class gives; old is nil.
type Classes interface {
	TakeOver(ctx context.Context, vm, old *v1alpha1.VirtualMachine) (field.ErrorList, error)
}

// Handler is the webhook.
type Handler struct {
	client    client.Client
	checker   Checker
	classes   Classes
	explainer Explainer
	schema    *schema
	decoder   admission.Decoder
	timeout   time.Duration
}

var _ admission.Handler = &Handler{}

// NewHandler returns a Handler. It reads VMs and asks for the caller's rights
// with c, which must not be cached.
func NewHandler(c client.Client, checker Checker, classes Classes, explainer Explainer) (*Handler, error) {
	s, err := newSchema()
	if err != nil {
		return nil, err
	}
	return &Handler{
		client: c, checker: checker, classes: classes, explainer: explainer, schema: s,
		decoder: admission.NewDecoder(c.Scheme()), timeout: timeout,
	}, nil
}

// Handle implements admission.Handler.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	if err := dryRun(req); err != nil {
		return refused(err)
	}
	document, patches, err := h.withClass(ctx, req)
	if err != nil {
		return refused(err)
	}
	status, err := h.answer(ctx, req, document)
	if err != nil {
		return refused(err)
	}
	// The whole status, so that nothing of what the caller wrote there is left.
	return admission.Patched("", append(patches, jsonpatch.NewOperation("add", "/status", status))...)
}

func dryRun(req admission.Request) error {
	if req.DryRun == nil || !*req.DryRun {
		return apierrors.NewBadRequest("a PlacementReview is answered and never stored: create it with a server-side dry run, `kubectl create --dry-run=server -o yaml -f FILE`, or ask with `virtctl explain`")
	}
	return nil
}

// answer answers the review in document.
func (h *Handler) answer(ctx context.Context, req admission.Request, document []byte) (*v1alpha1.PlacementReviewStatus, error) {
	// The API server holds a review against its schema after this webhook: by
	// then it would have been answered.
	errs, err := h.schema.validate(ctx, document)
	if err != nil {
		return nil, err
	}
	if len(errs) > 0 {
		return nil, invalid(req.Name, errs)
	}
	review := &v1alpha1.PlacementReview{}
	if err := h.decoder.DecodeRaw(runtime.RawExtension{Raw: document}, review); err != nil {
		return nil, apierrors.NewBadRequest("decoding the PlacementReview: " + err.Error())
	}
	vm, err := h.subject(ctx, req, review)
	if err != nil {
		return nil, err
	}
	status, err := h.explainer.Review(ctx, vm, &review.Spec)
	switch {
	case err == nil:
		return status, nil
	case errors.Is(err, explain.ErrNotReady):
		return nil, apierrors.NewServiceUnavailable("vm-scheduler: " + err.Error())
	case errors.Is(err, explain.ErrInvalid):
		return nil, invalidAs(err)
	case ctx.Err() != nil:
		return nil, apierrors.NewTimeoutError(fmt.Sprintf("the review was not done after %s: vm-scheduler is busy, try again later", h.timeout), 1)
	}
	return nil, apierrors.NewInternalError(fmt.Errorf("reviewing VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err))
}

// invalidAs is a refusal in words that name the field already.
func invalidAs(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: err.Error(),
	}}
}

func invalid(name string, errs field.ErrorList) error {
	return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("PlacementReview").GroupKind(), name, errs)
}

// refused returns err as the API server is to pass it on.
func refused(err error) admission.Response {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	result := status.Status()
	r := admission.Errored(result.Code, err)
	r.Result = &result
	return r
}
