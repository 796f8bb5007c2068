package networking

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

type stage struct {
	t   *testing.T
	api client.WithWatch
	c   *Controller
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.VirtualNetwork{}).
		WithIndex(&v1alpha1.Hypervisor{}, byNetwork, Named).WithIndex(&v1alpha1.VirtualMachine{}, byNetwork, Named).Build()
	return &stage{t: t, api: api, c: New(api, api, clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))}
}

// look reconciles the network and returns it, and its condition in a line; nil when it
// is gone.
func (s *stage) look() (*v1alpha1.VirtualNetwork, string) {
	s.t.Helper()
	key := client.ObjectKey{Namespace: "ns", Name: "lan"}
	for range 2 {
		if _, err := s.c.Reconcile(context.Background(), reconcile.Request{NamespacedName: key}); err != nil {
			s.t.Fatal(err)
		}
	}
	n := &v1alpha1.VirtualNetwork{}
	if err := s.api.Get(context.Background(), key, n); apierrors.IsNotFound(err) {
		return nil, ""
	} else if err != nil {
		s.t.Fatal(err)
	}
	c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionNetworkReady)
	if c == nil {
		return n, ""
	}
	return n, string(c.Status) + " " + c.Reason + ": " + c.Message
}

func lan() *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "lan", UID: "uid"}}
	n.Spec.Type = v1alpha1.NetworkNAT
	return n
}

func host(name, message string, uid string) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv.Status.Networks = []v1alpha1.HostNetwork{{Namespace: "ns", Name: "lan", UID: uid, Active: message == "", Message: message}}
	return hv
}

func vm(name string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "a", NetworkName: "lan"}}
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "h"}
	return vm
}

func TestWhatANetworkSays(t *testing.T) {
	for name, test := range map[string]struct {
		objects []client.Object
		hosts   int32
		want    string
	}{
		"nobody needs it":               {nil, 0, "True NotNeeded: hosts make it when"},
		"two hosts have it":             {[]client.Object{host("a", "", "uid"), host("b", "", "uid")}, 2, "True NetworkReady: "},
		"one of them fails":             {[]client.Object{host("a", "", "uid"), host("b", "no bridge", "uid")}, 2, "False HostFailed: b: no bridge"},
		"they had another of this name": {[]client.Object{host("a", "", "earlier")}, 0, "True NotNeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			n, says := newStage(t, append(test.objects, lan())...).look()
			if !strings.HasPrefix(says, test.want) || n.Status.HostCount != test.hosts || len(n.Finalizers) != 1 || n.Finalizers[0] != v1alpha1.NetworkFinalizer {
				t.Errorf("%q of %d hosts, finalizers %v", says, n.Status.HostCount, n.Finalizers)
			}
			if strings.HasPrefix(says, "False") && n.Status.Hosts[0].Message == "" {
				t.Errorf("hosts %+v", n.Status.Hosts)
			}
		})
	}
}

func TestANetworkIsHeldWhileItIsNeeded(t *testing.T) {
	ctx := context.Background()
	s := newStage(t, lan(), vm("web"), host("a", "", "uid"))
	n, _ := s.look()
	if err := s.api.Delete(ctx, n); err != nil {
		t.Fatal(err)
	}
	if _, says := s.look(); says != "False InUse: it is deleted when no VirtualMachine with a host has a card on it: leave it out of spec.interfaces of web" {
		t.Errorf("says %q", says)
	}
	if err := s.api.Delete(ctx, vm("web")); err != nil {
		t.Fatal(err)
	}
	if _, says := s.look(); says != "False InUse: it is deleted when it is gone from its hosts: a" {
		t.Errorf("says %q", says)
	}
	hv := &v1alpha1.Hypervisor{}
	if err := s.api.Get(ctx, client.ObjectKey{Name: "a"}, hv); err != nil {
		t.Fatal(err)
	}
	hv.Status.Networks = nil
	if err := s.api.Update(ctx, hv); err != nil {
		t.Fatal(err)
	}
	if n, says := s.look(); n != nil {
		t.Errorf("it is still there and says %q", says)
	}
}
