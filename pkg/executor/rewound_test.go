package executor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestAWatchFromTheFutureBeginsAnew(t *testing.T) {
	for name, test := range map[string]struct {
		revision string
		err      error
		options  metav1.ListOptions
		expired  bool
	}{
		"as far as before":       {"7", nil, metav1.ListOptions{ResourceVersion: "7"}, false},
		"further":                {"100", nil, metav1.ListOptions{ResourceVersion: "99"}, false},
		"further back":           {"99", nil, metav1.ListOptions{ResourceVersion: "100"}, true},
		"from nowhere":           {"7", nil, metav1.ListOptions{}, false},
		"from anywhere":          {"7", nil, metav1.ListOptions{ResourceVersion: "0"}, false},
		"a revision of no order": {"a", nil, metav1.ListOptions{ResourceVersion: "8"}, false},
		"nobody can tell":        {"", errors.New("away"), metav1.ListOptions{ResourceVersion: "8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, "")
			}))
			defer server.Close()
			config := &rest.Config{Host: server.URL}
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return &forward{next: next, revision: func(context.Context) (string, error) { return test.revision, test.err }}
			})
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: newMapper()})
			if err != nil {
				t.Fatal(err)
			}
			w, err := c.Watch(t.Context(), &v1alpha1.VirtualMachineList{}, &client.ListOptions{Raw: &test.options})
			if w != nil {
				w.Stop()
			}
			// What informers begin anew for.
			if apierrors.IsResourceExpired(err) != test.expired || test.expired && !strings.Contains(err.Error(), "restored from an older state") {
				t.Errorf("%v", err)
			}
			if !test.expired && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}
