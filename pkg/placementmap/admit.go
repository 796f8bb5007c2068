package placementmap

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
)

// admit serves to those who may get the path, as kube-scheduler does of its own
// pages. An API server that cannot be asked is told apart from a viewer whom it does
// not know, who would log in again in vain.
func (s *server) admit(handler http.Handler) http.Handler {
	handler = s.authorized(handler)
	handler = filters.WithAuthentication(handler, noting{s.Authenticator}, http.HandlerFunc(unknown), nil, nil)
	handler = filters.WithRequestInfo(handler, &request.RequestInfoFactory{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), noted{}, new(error))))
	})
}

// authorized is filters.WithAuthorization, but for its words where the API server
// cannot be asked.
func (s *server) authorized(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := filters.GetAuthorizerAttributes(r.Context())
		if err != nil {
			fail(w, r, err)
			return
		}
		decision, reason, err := s.Authorizer.Authorize(r.Context(), asked)
		switch {
		case decision == authorizer.DecisionAllow:
			handler.ServeHTTP(w, r)
		case err != nil:
			fail(w, r, err)
		default:
			responsewriters.Forbidden(asked, w, r, reason, scheme.Codecs)
		}
	})
}

// noted is the key of the error for which nobody could be named.
type noted struct{}

// noting notes why nobody is named.
type noting struct{ authenticator.Request }

func (n noting) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	response, ok, err := n.Request.AuthenticateRequest(r)
	if why, noting := r.Context().Value(noted{}).(*error); noting {
		*why = err
	}
	return response, ok, err
}

func unknown(w http.ResponseWriter, r *http.Request) {
	if why, ok := r.Context().Value(noted{}).(*error); ok && unanswered(*why) {
		fail(w, r, *why)
		return
	}
	filters.Unauthorized(scheme.Codecs).ServeHTTP(w, r)
}

// unanswered says that the API server was asked and gave no answer, or none that
// helps. What it says of a token that it does not know is no such error.
func unanswered(err error) bool {
	// Authenticators' errors come together, in a type that hides them.
	var several utilerrors.Aggregate
	if errors.As(err, &several) {
		return slices.ContainsFunc(several.Errors(), unanswered)
	}
	var network net.Error
	var status apierrors.APIStatus
	return errors.As(err, &network) || errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError
}

// fail answers with an error, which is logged where it is not the viewer's.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	var status apierrors.APIStatus
	switch {
	case r.Context().Err() != nil:
		return // nobody listens any more
	case errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError && status.Status().Code > 0:
		refuse(w, int(status.Status().Code), err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		refuse(w, http.StatusGatewayTimeout, "vm-scheduler is busy, or the API server does not answer it: ask again in a moment")
	case unanswered(err):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "the API server does not answer vm-scheduler, which asks it who you are and what you may see: ask again in a moment: "+err.Error())
	default:
		klog.FromContext(r.Context()).Error(err, "Serving the placement map", "path", r.URL.Path)
		refuse(w, http.StatusInternalServerError, err.Error())
	}
}
