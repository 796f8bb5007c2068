package unchanged_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/unchanged"
	"domus.dev/domus/pkg/api/v1alpha1"
)

func cluster(t *testing.T, answer error, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	under := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(objects...).Build()
	if answer == nil {
		return under
	}
	return interceptor.NewClient(under, interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return answer
		},
	})
}

func disk() *v1alpha1.VirtualDisk {
	return &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "u"}}
}

func TestWhatIsWrittenIsReturned(t *testing.T) {
	c := cluster(t, nil, disk())
	observed := &v1alpha1.VirtualDisk{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(disk()), observed); err != nil {
		t.Fatal(err)
	}
	held, err := unchanged.Finalizers(t.Context(), c, observed, []string{v1alpha1.VolumeFinalizer})
	if err != nil || len(held.Finalizers) != 1 || held.ResourceVersion == observed.ResourceVersion {
		t.Fatalf("%+v, %v", held, err)
	}
	stored, err := unchanged.Status(t.Context(), c, held, &v1alpha1.VirtualDiskStatus{NodeName: "a", Conditions: []metav1.Condition{}})
	if err != nil || stored.Status.NodeName != "a" {
		t.Fatalf("%+v, %v", stored, err)
	}
	if freed, err := unchanged.Finalizers(t.Context(), c, stored, nil); err != nil || len(freed.Finalizers) != 0 {
		t.Fatalf("%+v, %v", freed, err)
	}
	for name, write := range map[string]func() error{
		"status": func() error {
			_, err := unchanged.Status(t.Context(), c, observed, &v1alpha1.VirtualDiskStatus{})
			return err
		},
		"finalizers": func() error { _, err := unchanged.Finalizers(t.Context(), c, observed, nil); return err },
	} {
		if write() == nil {
			t.Errorf("%s of an object that has changed were written", name)
		}
	}
}

func TestWhatARefusalMeans(t *testing.T) {
	resource := schema.GroupResource{Group: "domus.dev", Resource: "virtualdisks"}
	for name, test := range map[string]struct {
		answer error
		stale  bool
	}{
		"a test of the patch failed": {answer: &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid}}, stale: true},
		"a conflict":                 {answer: apierrors.NewConflict(resource, "data", errors.New("changed")), stale: true},
		"it is gone":                 {answer: apierrors.NewNotFound(resource, "data")},
		"it is forbidden":            {answer: apierrors.NewForbidden(resource, "data", errors.New("not yours"))},
		"no answer":                  {answer: errors.New("connection refused")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unchanged.Status(t.Context(), cluster(t, test.answer, disk()), disk(), &v1alpha1.VirtualDiskStatus{})
			if errors.Is(err, unchanged.ErrStale) != test.stale || !errors.Is(err, test.answer) {
				t.Errorf("got %v", err)
			}
			if err == nil || !strings.Contains(err.Error(), "status of VirtualDisk shop/data") {
				t.Errorf("%v does not say of what", err)
			}
		})
	}
}
