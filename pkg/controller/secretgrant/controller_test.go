package secretgrant

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// needs is a VM on a host that names Secrets; "" is on none.
func needs(name, host string, secrets ...string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
	if host != "" {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: host}
	}
	for _, s := range secrets {
		if vm.Spec.CloudInit == nil {
			vm.Spec.CloudInit = &v1alpha1.CloudInit{}
		}
		vm.Spec.CloudInit.SSHAuthorizedKeysFrom = append(vm.Spec.CloudInit.SSHAuthorizedKeysFrom, v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: s, Key: "k"}})
	}
	return vm
}

// world is an API server that counts writes.
type world struct {
	client.WithWatch
	writes int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{}
	w.WithWatch = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithIndex(&v1alpha1.VirtualMachine{}, byHost, index).Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.writes++
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			w.writes++
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return c.Delete(ctx, o, opts...)
		},
	})
	return w
}

func (w *world) reconcile(t *testing.T, host string) {
	t.Helper()
	if _, err := New(w, w).Reconcile(t.Context(), reconcile.Request{NamespacedName: place{Namespace: "demo", Name: host}}); err != nil {
		t.Fatal(err)
	}
}

// granted is what the host may read; nil without Role or RoleBinding.
func (w *world) granted(t *testing.T, host string) []string {
	t.Helper()
	key := client.ObjectKey{Namespace: "demo", Name: userPrefix + host}
	r, b := &rbacv1.Role{}, &rbacv1.RoleBinding{}
	roleErr, bindingErr := w.Get(t.Context(), key, r), w.Get(t.Context(), key, b)
	if (roleErr == nil) != (bindingErr == nil) {
		t.Fatalf("the one without the other: %v, %v", roleErr, bindingErr)
	}
	if roleErr != nil {
		return nil
	}
	if diff := cmp.Diff(binding(place{Namespace: "demo", Name: host}), b, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".ResourceVersion" }, cmp.Ignore())); diff != "" {
		t.Fatalf("the RoleBinding: %s", diff)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: r.Rules[0].ResourceNames}}
	if diff := cmp.Diff(want, r.Rules); diff != "" {
		t.Fatalf("the Role: %s", diff)
	}
	if _, labelled := r.Labels[Label]; !labelled {
		t.Fatal("the Role has no label")
	}
	return r.Rules[0].ResourceNames
}

func TestAHostReadsWhatItsVMsNeed(t *testing.T) {
	other := needs("elsewhere", "b", "b-1")
	foreign := needs("foreign", "a", "foreign")
	foreign.Namespace = "other"
	w := newWorld(t, needs("one", "a", "z", "x"), needs("two", "a", "x", "y"), needs("three", "a"), needs("waiting", "", "w"), other, foreign)
	w.reconcile(t, "a")
	if got := w.granted(t, "a"); !slices.Equal(got, []string{"x", "y", "z"}) {
		t.Errorf("got %v", got)
	}
	if got := w.granted(t, "b"); got != nil {
		t.Errorf("the other host got %v", got)
	}
	before := w.writes
	w.reconcile(t, "a")
	if w.writes != before || before != 2 {
		t.Errorf("%d writes and %d for nothing", before, w.writes-before)
	}
	if err := w.Delete(t.Context(), needs("one", "a")); err != nil {
		t.Fatal(err)
	}
	w.reconcile(t, "a")
	if got := w.granted(t, "a"); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("got %v", got)
	}
	if err := w.Delete(t.Context(), needs("two", "a")); err != nil {
		t.Fatal(err)
	}
	w.reconcile(t, "a")
	if got := w.granted(t, "a"); got != nil {
		t.Errorf("a host without such VMs got %v", got)
	}
	before = w.writes
	w.reconcile(t, "a")
	w.reconcile(t, "c")
	if w.writes != before {
		t.Error("what is not there was written")
	}
}

func TestWhatSomebodyMadeOfItIsPutRight(t *testing.T) {
	at := place{Namespace: "demo", Name: "a"}
	role, binding := role(at, []string{"x"}), binding(at)
	role.Labels, role.Rules[0].ResourceNames, role.Rules[0].Verbs = nil, nil, []string{"*"}
	binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}
	w := newWorld(t, needs("one", "a", "x"), role, binding)
	w.reconcile(t, "a")
	if got := w.granted(t, "a"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("got %v", got)
	}
}

func TestPlaces(t *testing.T) {
	if _, needed := placeOf(needs("one", "a")); needed {
		t.Error("a VM that names no Secret needs a grant")
	}
	if _, needed := placeOf(needs("one", "", "x")); needed {
		t.Error("a VM without a host needs a grant")
	}
	for name, ours := range map[string]bool{"domus:executor:a": true, "admin": false} {
		if _, got := placeNamed("demo", name); got != ours {
			t.Errorf("%s: %t", name, got)
		}
	}
}
