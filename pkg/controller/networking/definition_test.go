package networking

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/cnidefinition"
)

func attachment(config string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"config": config}}}
	if config == "" {
		object.Object = map[string]any{}
	}
	object.SetGroupVersionKind(cnidefinition.Kind)
	object.SetNamespace("ns")
	object.SetName("other")
	object.SetUID("nad")
	return object
}

// defining is a stage on which VirtualNetwork lan names NetworkAttachmentDefinition
// other.
func defining(t *testing.T, level string, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	scheme.AddKnownTypeWithName(cnidefinition.Kind, &unstructured.Unstructured{})
	n := lan()
	n.Spec.Type, n.Spec.CNI = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{DefinitionName: "other"}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{v1alpha1.PolicyLevelLabel: level}}}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, n, ns)...).WithStatusSubresource(&v1alpha1.VirtualNetwork{}).
		WithIndex(&v1alpha1.Hypervisor{}, byNetwork, Named).WithIndex(&v1alpha1.VirtualMachine{}, byNetwork, Named).Build()
	return &stage{t: t, api: api, c: New(api, api, clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))}
}

func TestWhatADefinitionSays(t *testing.T) {
	const config = `{"name": "san", "type": "macvlan", "ipam": {"type": "host-local"}}`
	inline := &v1alpha1.CNIDefinition{UID: "nad", ConfigName: "san", Config: `{"ipam":{"type":"host-local"},"name":"san","type":"macvlan"}`, Plugins: []string{"host-local", "macvlan"}}
	for name, test := range map[string]struct {
		level   string
		objects []client.Object
		want    *v1alpha1.CNIDefinition
		says    string
	}{
		"the hosts' own, anywhere":       {"", []client.Object{attachment("")}, &v1alpha1.CNIDefinition{UID: "nad", ConfigName: "other"}, "True NotNeeded: hosts connect each card"},
		"its own, where hosts are open":  {"privileged", []client.Object{attachment(config)}, inline, "True NotNeeded: hosts connect each card"},
		"its own, where they are not":    {"restricted", []client.Object{attachment(config)}, nil, "False DefinitionForbidden: NetworkAttachmentDefinition other: spec.config is not allowed at policy level restricted: its plugins run as root"},
		"a misspelt level opens nothing": {"Privileged", []client.Object{attachment(config)}, nil, "False DefinitionForbidden: "},
		"nonsense":                       {"privileged", []client.Object{attachment("{")}, nil, "False DefinitionInvalid: other: invalid NetworkAttachmentDefinition: spec.config"},
		"none":                           {"privileged", nil, nil, "False DefinitionNotFound: there is no NetworkAttachmentDefinition other in the namespace: create it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := defining(t, test.level, test.objects...)
			n, says := s.look()
			if diff := cmp.Diff(test.want, n.Status.Definition); diff != "" || !strings.HasPrefix(says, test.says) {
				t.Errorf("says %q (-want +got):\n%s", says, diff)
			}
		})
	}
}

// One that comes, changes or goes is read again, and what cannot be read is no change.
func TestADefinitionIsReadAgain(t *testing.T) {
	ctx := context.Background()
	s := defining(t, "privileged")
	if n, _ := s.look(); n.Status.Definition != nil {
		t.Fatalf("before there is one: %+v", n.Status.Definition)
	}
	result, err := s.c.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "lan"}})
	if err != nil || result.RequeueAfter != rereading {
		t.Errorf("%+v, %v", result, err)
	}
	if err := s.api.Create(ctx, attachment(`{"type": "bridge"}`)); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.look(); n.Status.Definition == nil || n.Status.Definition.Plugins[0] != "bridge" {
		t.Errorf("when it has come: %+v", n.Status.Definition)
	}
	s.c.live = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if key.Name == "other" {
			return errors.New("the API server is away")
		}
		return c.Get(ctx, key, o, opts...)
	}})
	if _, err := s.c.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "lan"}}); err == nil {
		t.Error("it was taken for read")
	}
	s.c.live = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if key.Name == "other" {
			return &apimeta.NoKindMatchError{GroupKind: cnidefinition.Kind.GroupKind()}
		}
		return c.Get(ctx, key, o, opts...)
	}})
	if n, says := s.look(); n.Status.Definition != nil || !strings.HasPrefix(says, "False DefinitionNotFound: the cluster has no NetworkAttachmentDefinitions") {
		t.Errorf("without the kind: %q, %+v", says, n.Status.Definition)
	}
}
