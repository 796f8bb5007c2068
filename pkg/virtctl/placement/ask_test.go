package placement

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	webhookerrors "k8s.io/apiserver/pkg/admission/plugin/webhook/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// answering is a cluster that answers a review by f.
func answering(t *testing.T, f func(*v1alpha1.PlacementReview) error) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			o := (&client.CreateOptions{}).ApplyOptions(opts)
			if len(o.DryRun) != 1 || o.DryRun[0] != metav1.DryRunAll {
				t.Error("the review would be stored")
			}
			return f(obj.(*v1alpha1.PlacementReview))
		},
	}).Build()
}

func TestAsk(t *testing.T) {
	c := answering(t, func(r *v1alpha1.PlacementReview) error {
		if r.Namespace != "ns" || r.Spec.VirtualMachineName != "vm" {
			t.Errorf("asked %+v", r)
		}
		r.Status = &v1alpha1.PlacementReviewStatus{Message: "fits"}
		return nil
	})
	status, err := Ask(t.Context(), c, Question{Namespace: "ns", Spec: v1alpha1.PlacementReviewSpec{VirtualMachineName: "vm"}})
	if err != nil || status.Message != "fits" {
		t.Errorf("answered %+v, %v", status, err)
	}
}

// byWebhook is err as the API server passes it on from vm-scheduler.
func byWebhook(t *testing.T, err error) error {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatal(err)
	}
	s := status.Status()
	return webhookerrors.ToStatusErr("placementreviews.domus.dev", &s)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	vms, reviews := v1alpha1.Resource("virtualmachines"), v1alpha1.Resource("placementreviews")
	for name, test := range map[string]struct {
		err  error
		want []string
	}{
		"no such kind": {
			&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "domus.dev", Kind: "PlacementReview"}},
			[]string{"does not know PlacementReviews", "kubectl apply -f manifests/base/crd/domus.dev_placementreviews.yaml"},
		},
		"a kind that was just removed": {
			apierrors.NewGenericServerResponse(404, "post", reviews, "", "the server could not find the requested resource", 0, true),
			[]string{"kubectl apply -f manifests/base/crd/domus.dev_placementreviews.yaml"},
		},
		"no webhook": {nil, []string{"nobody answered", "kubectl apply -f manifests/base/webhook/webhook.yaml"}},
		"reviews are forbidden": {
			apierrors.NewForbidden(reviews, "", errors.New(`User "jane" cannot create resource "placementreviews"`)),
			[]string{`User "jane" cannot create resource "placementreviews"`, "--clusterrole=domus:placement-reviewer", "-n ns"},
		},
		"the VM is forbidden": {
			byWebhook(t, apierrors.NewForbidden(vms, "vm", errors.New(`User "jane" cannot get resource "virtualmachines"`))),
			[]string{`virtualmachines.domus.dev "vm" is forbidden: User "jane" cannot get resource "virtualmachines"`, "must be allowed to get it"},
		},
		"no such VM": {
			byWebhook(t, apierrors.NewNotFound(vms, "vm")),
			[]string{`there is no virtualmachine "vm" in namespace "ns"`, "virtctl get -A"},
		},
		"no such namespace": {
			apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "ns"),
			[]string{`there is no namespace "ns"`, "kubectl get namespaces"},
		},
		"vm-scheduler is away": {
			apierrors.NewInternalError(errors.New(`failed calling webhook "placementreviews.domus.dev": failed to call webhook: Post "https://x": connection refused`)),
			[]string{"is it running?", "kubectl get lease -n domus-system vm-scheduler", "connection refused"},
		},
		"vm-scheduler is not ready": {
			byWebhook(t, apierrors.NewServiceUnavailable("try again in a moment")),
			[]string{"try again in a moment"},
		},
		"a template that is refused": {
			byWebhook(t, apierrors.NewInvalid(schema.GroupKind{Group: "domus.dev", Kind: "PlacementReview"}, "", field.ErrorList{field.Invalid(field.NewPath("spec", "template", "spec", "resources", "cpu"), 0, "no")})),
			[]string{"spec.resources.cpu: Invalid value: 0: no"},
		},
		"no API server": {errors.New("connection refused"), []string{"asking the API server", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Ask(t.Context(), answering(t, func(*v1alpha1.PlacementReview) error { return test.err }), Question{Namespace: "ns"})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), deniedBy) || strings.Contains(err.Error(), "spec.template") || strings.Contains(err.Error(), "is invalid") {
				t.Errorf("speaks of what people did not write: %v", err)
			}
		})
	}
}
