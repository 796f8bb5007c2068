package failure

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const kinds = "manifests/base/crd"

// API adds to what the API server said what was being done, and what to do about
// it. The verb and resource of a right that is missing are in the API server's
// own words.
func API(err error, doing string, args ...any) error {
	doing = fmt.Sprintf(doing, args...)
	// kubectl's code returns several errors in a type that hides them.
	var several utilerrors.Aggregate
	if errors.As(err, &several) {
		var all []error
		for _, e := range utilerrors.Flatten(several).Errors() {
			all = append(all, API(e, "%s", doing))
		}
		return errors.Join(all...)
	}
	kind, name := subject(err)
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && name == "":
		return fmt.Errorf("%s: the cluster does not know the kind: `kubectl apply -f %s`: %w", doing, kinds, err)
	case apierrors.IsNotFound(err) && kind == "namespaces":
		return NotFound("%s: there is no namespace %q: see `kubectl get namespaces`", doing, name)
	case apierrors.IsNotFound(err) && kind == "virtualmachines":
		return NotFound("%s: there is no virtualmachine %q: see `virtctl get -A`", doing, name)
	case apierrors.IsUnauthorized(err):
		return Refused("%s: the cluster does not know who you are: log in again, or see `kubectl config view`: %w", doing, err)
	case codeOfAPI(err) == Denied:
		return Refused("%s: %w", doing, err)
	case unanswered(err):
		return fmt.Errorf("%s: the cluster does not answer: see `kubectl cluster-info`: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unanswered says whether the API server could not be reached, or broke off.
func unanswered(err error) bool {
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network) || utilnet.IsConnectionRefused(err) || utilnet.IsProbableEOF(err)
}

// Final says whether asking again is of no use: the caller may not, or there is
// no such kind.
func Final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err)
}

func subject(err error) (kind, name string) {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if details := status.Status().Details; details != nil {
			return details.Kind, details.Name
		}
	}
	return "", ""
}

func codeOfAPI(err error) Code {
	switch kind, name := subject(err); {
	case apierrors.IsNotFound(err) && name != "" && (kind == "virtualmachines" || kind == "namespaces"):
		return Missing
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return Denied
	}
	return General
}
