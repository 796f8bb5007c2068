package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// forward has everything listed anew that would be watched from a revision which the
// API server has not come to: etcd was restored from an older state. A watch from
// there tells nothing, without an error, until as much has been written again.
type forward struct {
	next http.RoundTripper
	// revision asks for the revision that there is.
	revision func(context.Context) (string, error)
}

func (f *forward) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	from := query.Get("resourceVersion")
	if watches, _ := strconv.ParseBool(query.Get("watch")); !watches || from == "" || from == "0" {
		return f.next.RoundTrip(r)
	}
	now, err := f.revision(r.Context())
	if err != nil {
		return f.next.RoundTrip(r) // which says what is wrong
	}
	if order, err := resourceversion.CompareResourceVersion(now, from); err != nil || order >= 0 {
		return f.next.RoundTrip(r)
	}
	klog.FromContext(r.Context()).Info("The cluster has gone back to an older state, and is read anew", "path", r.URL.Path, "revision", now, "seen", from)
	return expired(r, fmt.Sprintf("the revision is %s, and was %s: etcd was restored from an older state", now, from))
}

// expired is the API server's answer about a revision that it has no more.
func expired(r *http.Request, message string) (*http.Response, error) {
	status := apierrors.NewResourceExpired(message).Status()
	status.Kind, status.APIVersion = "Status", "v1"
	body, err := json.Marshal(&status)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusGone, Status: strconv.Itoa(http.StatusGone) + " " + http.StatusText(http.StatusGone),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// revisionBy asks for the cluster's revision by a list of the host's own Hypervisor
// alone, which is read without looking at others.
func revisionBy(c client.Reader, node string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("HypervisorList"))
		err := c.List(ctx, list, client.MatchingFields{"metadata.name": node})
		return list.ResourceVersion, err
	}
}
