package placement

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	definition = "manifests/base/crd/domus.dev_placementreviews.yaml"
	webhooks   = "manifests/base/webhook/webhook.yaml"
	// deniedBy is how the API server begins what a webhook said.
	deniedBy = `admission webhook "placementreviews.domus.dev" denied the request: `
)

var (
	errUndefined = fmt.Errorf("the cluster does not know PlacementReviews: `kubectl apply -f %s -f %s`", definition, webhooks)

	errUnanswered = fmt.Errorf("nobody answered: the cluster does not ask vm-scheduler: `kubectl apply -f %s`", webhooks)
)

// withRemedy adds to what the API server said what to do about it.
func withRemedy(err error, namespace string) error {
	if meta.IsNoMatchError(err) {
		return errUndefined
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Errorf("asking the API server: %w", err)
	}
	s := status.Status()
	kind, name := "", ""
	if s.Details != nil {
		kind, name = s.Details.Kind, s.Details.Name
	}
	said := errors.New(inTheirWords(s.Message, s.Details))
	switch {
	case apierrors.IsNotFound(err) && kind == "virtualmachines":
		return cluster.NoVM(types.NamespacedName{Namespace: namespace, Name: name})
	case apierrors.IsNotFound(err) && kind == "namespaces":
		return failure.NotFound("there is no namespace %q: see `kubectl get namespaces`", namespace)
	case apierrors.IsNotFound(err):
		return errUndefined
	case apierrors.IsForbidden(err) && kind == "placementreviews":
		return failure.Refused("%w: the ClusterRole domus:placement-reviewer allows it: `kubectl create rolebinding -n %s --clusterrole=domus:placement-reviewer NAME --user=USER`", said, namespace)
	case apierrors.IsForbidden(err) && kind == "virtualmachines":
		return failure.Refused("%w: to ask about a VM one must be allowed to get it, and to ask about one that does not exist to create it", said)
	case strings.Contains(s.Message, "failed calling webhook"):
		return fmt.Errorf("vm-scheduler does not answer: is it running? `kubectl get lease -n domus-system vm-scheduler` names its leader and when it was last seen: %w", said)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return failure.Refused("%w", said)
	}
	return said
}

// inTheirWords is what the API server said without the review, which people did
// not write: they wrote the VM that is its spec.template.
func inTheirWords(message string, details *metav1.StatusDetails) string {
	message = strings.TrimPrefix(message, deniedBy)
	if details != nil {
		message = strings.TrimPrefix(message, fmt.Sprintf("%s.%s %q is invalid: ", details.Kind, details.Group, details.Name))
	}
	return strings.ReplaceAll(message, "spec.template.", "")
}
