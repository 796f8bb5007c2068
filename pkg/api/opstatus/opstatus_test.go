package opstatus

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// answering is a client whose patches are kept in sent and answered with err.
func answering(t *testing.T, sent *string, err error) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		SubResourcePatch: func(_ context.Context, _ client.Client, _ string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
			body, failed := p.Data(o)
			*sent = string(body)
			return errors.Join(failed, err)
		},
	})
}

func TestWhatAWriteIsGuardedBy(t *testing.T) {
	for name, c := range map[string]struct {
		status v1alpha1.VirtualMachineOperationStatus
		want   []string
	}{
		"one that no host has must not have changed": {
			v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending},
			[]string{`test /metadata/uid "u"`, `test /status/phase "Pending"`, `test /metadata/resourceVersion "7"`, `add /status {"phase":"Failed"}`},
		},
		"labels of one that a host has may": {
			v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationRunning, NodeName: "a"},
			[]string{`test /metadata/uid "u"`, `test /status/phase "Running"`, `test /status/nodeName "a"`, `add /status {"phase":"Failed"}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sent string
			op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "7"}, Status: c.status}
			if _, err := Write(t.Context(), answering(t, &sent, nil), op, v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationFailed}); err != nil {
				t.Fatal(err)
			}
			var ops []struct {
				Op, Path string
				Value    json.RawMessage
			}
			if err := json.Unmarshal([]byte(sent), &ops); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range ops {
				got = append(got, o.Op+" "+o.Path+" "+string(o.Value))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsStale(t *testing.T) {
	kind := schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "VirtualMachineOperation"}
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "virtualmachineoperations"}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a test that failed":     {apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "testing value failed", 0, false), true},
		"a conflict":             {apierrors.NewConflict(resource, "op", errors.New("x")), true},
		"an object that is gone": {apierrors.NewNotFound(resource, "op"), true},
		"a value out of bounds":  {apierrors.NewInvalid(kind, "op", field.ErrorList{field.TooLong(field.NewPath("status", "message"), "", 4096)}), false},
		"another host's":         {apierrors.NewForbidden(resource, "op", errors.New("x")), false},
		"no answer":              {errors.New("connection refused"), false},
	} {
		t.Run(name, func(t *testing.T) {
			var sent string
			_, err := Write(t.Context(), answering(t, &sent, c.err), &v1alpha1.VirtualMachineOperation{}, v1alpha1.VirtualMachineOperationStatus{})
			if err == nil || errors.Is(err, ErrStale) != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}
