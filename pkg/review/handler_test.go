package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	admissionclasses "domus.dev/domus/pkg/admission"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/explain"
)

// engine remembers what it was asked.
type engine struct {
	vm   *v1alpha1.VirtualMachine
	spec *v1alpha1.PlacementReviewSpec
	err  error
}

func (e *engine) Review(ctx context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	e.vm, e.spec = vm, spec
	if errors.Is(e.err, context.DeadlineExceeded) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &v1alpha1.PlacementReviewStatus{Message: "fits", Hosts: 3, Feasible: 2}, e.err
}

type checker func(*v1alpha1.VirtualMachine) (field.ErrorList, error)

func (c checker) Check(_ context.Context, vm *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	return c(vm)
}

func checksOut(*v1alpha1.VirtualMachine) (field.ErrorList, error) { return nil, nil }

var accessReviews = authorizationv1.Resource("subjectaccessreviews")

// world is a cluster with one VM, "there", where the caller may do what allowed
// says.
type world struct {
	handler *Handler
	engine  *engine
	asked   []authorizationv1.SubjectAccessReviewSpec
}

func newWorld(t *testing.T, check checker, allowed ...string) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{engine: &engine{}}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "there", UID: "uid-of-there"}}
	class := &v1alpha1.VirtualMachineClass{ObjectMeta: metav1.ObjectMeta{Name: "small", Generation: 4}}
	class.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("4Gi")}
	class.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"onCrash":"restart"}`)}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(vm, class).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			access, ok := obj.(*authorizationv1.SubjectAccessReview)
			if !ok {
				return fmt.Errorf("a write of %T", obj)
			}
			w.asked = append(w.asked, access.Spec)
			if access.Spec.User == "" {
				return apierrors.NewForbidden(accessReviews, "", errors.New("not for vm-scheduler"))
			}
			for _, verb := range allowed {
				access.Status.Allowed = access.Status.Allowed || verb == access.Spec.ResourceAttributes.Verb
			}
			return nil
		},
	}).Build()
	var err error
	if w.handler, err = NewHandler(c, check, admissionclasses.NewClasses(scheme, c), w.engine); err != nil {
		t.Fatal(err)
	}
	return w
}

// request is a review as the API server sends it, with its defaults set.
func request(spec string, change ...func(*admission.Request)) admission.Request {
	req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Namespace: "ns", DryRun: ptr.To(true),
		UserInfo: authenticationv1.UserInfo{Username: "jane", UID: "7", Groups: []string{"dev"}, Extra: map[string]authenticationv1.ExtraValue{"scopes": {"a", "b"}}},
		Object: runtime.RawExtension{Raw: fmt.Appendf(nil, `{"apiVersion":"domus.dev/v1alpha1","kind":"PlacementReview",
			"metadata":{"name":"r","namespace":"ns"},"spec":%s,"status":{"message":"mine","nodeName":"forged"}}`, spec)},
	}}
	for _, f := range change {
		f(&req)
	}
	return req
}

const template = `{"template":{"labels":{"app":"a"},"spec":{"schedulerName":"vm-packing","resources":{"cpu":2,"memory":"1Gi"}}},"question":"Fit","limit":3}`

func TestAnswer(t *testing.T) {
	t.Run("about a VM that is there", func(t *testing.T) {
		w := newWorld(t, checksOut, "get")
		answered(t, w.handler.Handle(t.Context(), request(`{"virtualMachineName":"there","question":"Explain","limit":10}`)))
		if w.engine.vm.UID != "uid-of-there" {
			t.Errorf("asked about %+v", w.engine.vm.ObjectMeta)
		}
		want := []authorizationv1.SubjectAccessReviewSpec{{
			User: "jane", UID: "7", Groups: []string{"dev"}, Extra: map[string]authorizationv1.ExtraValue{"scopes": {"a", "b"}},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "ns", Verb: "get", Group: "domus.dev", Version: "v1alpha1", Resource: "virtualmachines", Name: "there"},
		}}
		if diff := cmp.Diff(want, w.asked); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("about a template", func(t *testing.T) {
		w := newWorld(t, checksOut, "create")
		answered(t, w.handler.Handle(t.Context(), request(template)))
		vm := w.engine.vm
		if vm.Namespace != "ns" || vm.Name == "" || vm.UID == "" || vm.Labels["app"] != "a" || vm.Spec.Resources.CPU != 2 || vm.Spec.SchedulerName != "vm-packing" {
			t.Errorf("asked about %+v", vm)
		}
		if w.engine.spec.Question != v1alpha1.PlacementFit || *w.engine.spec.Limit != 3 {
			t.Errorf("asked for %+v", w.engine.spec)
		}
		if got := w.asked[0].ResourceAttributes; got.Verb != "create" || got.Name != "" || got.Namespace != "ns" {
			t.Errorf("asked for the right to %+v", got)
		}
	})
}

// answered fails the test unless r replaces the whole status by the engine's.
func answered(t *testing.T, r admission.Response) {
	t.Helper()
	if !r.Allowed || len(r.Patches) != 1 || r.Patches[0].Path != "/status" {
		t.Fatalf("answered %+v", r)
	}
	data, err := json.Marshal(r.Patches[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"message":"fits","hosts":3,"feasible":2}`; string(data) != want {
		t.Errorf("status %s, want %s", data, want)
	}
}

func TestATemplateOfAClass(t *testing.T) {
	for name, spec := range map[string]string{
		"as a document has it":     `{"template":{"spec":{"class":{"name":"small"}}},"question":"Explain"}`,
		"as a client in Go has it": `{"template":{"spec":{"class":{"name":"small"},"resources":{"cpu":0,"memory":"0"}}},"question":"Explain"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, checksOut, "create")
			r := w.handler.Handle(t.Context(), request(spec))
			if !r.Allowed {
				t.Fatalf("answered %+v", r.Result)
			}
			if vm := w.engine.vm; vm.Spec.Resources.CPU != 2 || vm.Spec.Resources.Memory.String() != "4Gi" || string(vm.Spec.Domain.Raw) != `{"onCrash":"restart"}` {
				t.Errorf("asked about %+v", vm.Spec)
			}
			// The API server holds the template against its schema afterwards.
			patch, err := json.Marshal(r.Patches)
			if err != nil {
				t.Fatal(err)
			}
			want := `[{"op":"add","path":"/spec/template/spec/class","value":{"name":"small","revision":4}},` +
				`{"op":"add","path":"/spec/template/spec/resources","value":{"cpu":2,"memory":"4Gi"}},` +
				`{"op":"add","path":"/spec/template/spec/domain","value":{"onCrash":"restart"}},` +
				`{"op":"add","path":"/status","value":{"message":"fits","hosts":3,"feasible":2}}]`
			if diff := cmp.Diff(want, string(patch)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	forbidden := checker(func(*v1alpha1.VirtualMachine) (field.ErrorList, error) {
		return field.ErrorList{field.Forbidden(field.NewPath("spec", "domain", "os", "kernel"), "no")}, nil
	})
	for name, test := range map[string]struct {
		req     admission.Request
		check   checker
		engine  error
		allowed []string
		code    int32
		want    []string
	}{
		"one that would be stored": {
			req:  request(template, func(r *admission.Request) { r.DryRun = ptr.To(false) }),
			code: http.StatusBadRequest, want: []string{"never stored", "kubectl create --dry-run=server", "virtctl explain"},
		},
		"nothing to ask about": {
			req:  request(`{}`),
			code: http.StatusUnprocessableEntity, want: []string{"spec: Invalid value", "give either virtualMachineName or template"},
		},
		"both": {
			req:  request(`{"virtualMachineName":"there","template":{"spec":{"resources":{"cpu":1,"memory":"1Gi"}}}}`),
			code: http.StatusUnprocessableEntity, want: []string{"give either virtualMachineName or template"},
		},
		"what the schema refuses": {
			req:  request(`{"template":{"spec":{"resources":{"cpu":0,"memory":"1Gi"}}},"limit":9999,"question":"Why"}`),
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.resources.cpu", "spec.limit", "spec.question"},
		},
		"a device that is asked for twice": {
			req:  request(`{"template":{"spec":{"resources":{"cpu":1,"memory":"1Gi","devices":[{"name":"gpu"},{"name":"gpu"}]}}}}`),
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.resources.devices[1]", "Duplicate value"},
		},
		"a class that is not there": {
			req: request(`{"template":{"spec":{"class":{"name":"huge"}}}}`), allowed: []string{"create"},
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.class.name", "choose one of small"},
		},
		"a size beside the class'": {
			req: request(`{"template":{"spec":{"class":{"name":"small"},"resources":{"cpu":7,"memory":"0"}}}}`), allowed: []string{"create"},
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.resources.cpu: Forbidden"},
		},
		"a class that is no object": {
			req:  request(`{"template":{"spec":{"class":"small"}}}`),
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.class"},
		},
		"labels that cannot be": {
			req: request(`{"template":{"labels":{"a":"b c"},"spec":{"resources":{"cpu":1,"memory":"1Gi"}}}}`), allowed: []string{"create"},
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.labels", "b c"},
		},
		"a template that could not be created": {
			req: request(template), check: forbidden, allowed: []string{"create"},
			code: http.StatusUnprocessableEntity, want: []string{"spec.template.spec.domain.os.kernel: Forbidden"},
		},
		"a name that is a path": {
			req: request(`{"virtualMachineName":"../secrets"}`), allowed: []string{"get"},
			code: http.StatusUnprocessableEntity, want: []string{"spec.virtualMachineName"},
		},
		"a VM that the caller may not see": {
			req: request(`{"virtualMachineName":"there"}`), allowed: []string{"create", "list"},
			code: http.StatusForbidden, want: []string{`virtualmachines.domus.dev "there" is forbidden`, `User "jane" cannot get resource "virtualmachines"`, `namespace "ns"`},
		},
		"a template of what the caller may not create": {
			req: request(template), allowed: []string{"get"},
			code: http.StatusForbidden, want: []string{`User "jane" cannot create resource "virtualmachines"`},
		},
		"what vm-scheduler itself may not do": {
			req:  request(template, func(r *admission.Request) { r.UserInfo.Username = "" }),
			code: http.StatusInternalServerError, want: []string{"not for vm-scheduler"},
		},
		"a VM that is not there": {
			req: request(`{"virtualMachineName":"gone"}`), allowed: []string{"get"},
			code: http.StatusNotFound, want: []string{`virtualmachines.domus.dev "gone" not found`},
		},
		"a review that takes too long": {
			req: request(template), allowed: []string{"create"}, engine: context.DeadlineExceeded,
			code: http.StatusGatewayTimeout, want: []string{"not done after", "try again later"},
		},
		"an engine that has not read all": {
			req: request(template), allowed: []string{"create"}, engine: explain.ErrNotReady,
			code: http.StatusServiceUnavailable, want: []string{"not all been read yet"},
		},
		"what the engine cannot be asked": {
			req: request(template), allowed: []string{"create"}, engine: fmt.Errorf("%w: spec.schedulerName: none", explain.ErrInvalid),
			code: http.StatusUnprocessableEntity, want: []string{"spec.schedulerName: none"},
		},
		"an engine that fails": {
			req: request(template), allowed: []string{"create"}, engine: errors.New("out of luck"),
			code: http.StatusInternalServerError, want: []string{"out of luck"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			check := test.check
			if check == nil {
				check = checksOut
			}
			w := newWorld(t, check, test.allowed...)
			w.handler.timeout = 100 * time.Millisecond
			if test.engine == nil {
				w.handler.timeout = time.Minute
			}
			w.engine.err = test.engine
			r := w.handler.Handle(t.Context(), test.req)
			if r.Allowed || r.Result.Code != test.code {
				t.Errorf("allowed %t, %+v; want code %d", r.Allowed, r.Result, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(r.Result.Message, want) {
					t.Errorf("the refusal does not say %q: %s", want, r.Result.Message)
				}
			}
			if test.engine == nil && w.engine.vm != nil {
				t.Error("the engine was asked all the same")
			}
		})
	}
}
