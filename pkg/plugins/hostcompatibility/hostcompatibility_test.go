package hostcompatibility

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

func projected(domain string) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm", UID: "u", Annotations: map[string]string{"a": "b"}}}
	if domain != "" {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(domain)}
	}
	podless.Trim(vm)
	return podless.Project(vm, podless.Priority{})
}

func hypervisor(name string, types ...v1alpha1.DomainType) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv.Status.DomainTypes = types
	return hv
}

func node(name string) fwk.NodeInfo {
	n := framework.NewNodeInfo()
	n.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return n
}

var (
	kvm  = v1alpha1.DomainType{Type: "kvm", Arch: "x86_64"}
	qemu = v1alpha1.DomainType{Type: "qemu", Arch: "x86_64"}
	arm  = v1alpha1.DomainType{Type: "qemu", Arch: "aarch64"}
)

// informer delivers nothing: tests tell the Fleet what it sees.
type informer struct {
	cache.ResourceEventHandlerRegistration
}

func (i informer) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.ResourceEventHandlerRegistration, nil
}

type synced bool

func (s synced) HasSynced() bool                   { return bool(s) }
func (synced) HasSyncedChecker() cache.DoneChecker { return nil }

func newPlugin(t *testing.T, isSynced bool) *plugin {
	t.Helper()
	f, err := fleet.New(informer{synced(isSynced)})
	if err != nil {
		t.Fatal(err)
	}
	return &plugin{fleet: f}
}

func TestFilter(t *testing.T) {
	p := newPlugin(t, true)
	p.fleet.See(hypervisor("fast", kvm, qemu))
	p.fleet.See(hypervisor("slow", qemu, arm))
	refused := func(reason string) *fwk.Status { return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason) }
	for name, test := range map[string]struct {
		domain, host string
		want         *fwk.Status
	}{
		"kvm where it works":           {`{"type":"kvm"}`, "fast", nil},
		"kvm where it does not":        {`{"type":"kvm"}`, "slow", refused("host(s) run no kvm guests")},
		"an architecture":              {`{"os":{"type":{"arch":"aarch64"}}}`, "slow", nil},
		"another architecture":         {`{"os":{"type":{"arch":"aarch64"}}}`, "fast", refused("host(s) run no guests for aarch64")},
		"both must be of one kind":     {`{"type":"kvm","os":{"type":{"arch":"aarch64"}}}`, "slow", refused("host(s) run no kvm guests for aarch64")},
		"a host that is not described": {`{"type":"kvm"}`, "gone", refused("host(s) run no kvm guests")},
	} {
		t.Run(name, func(t *testing.T) {
			cs, pod := framework.NewCycleState(), projected(test.domain)
			if _, status := p.PreFilter(t.Context(), cs, pod, nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			if diff := cmp.Diff(test.want, p.Filter(t.Context(), cs, pod, node(test.host))); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVMThatTakesAnyGuestIsSkipped(t *testing.T) {
	for _, domain := range []string{"", "{}", `{"devices":{}}`, "not json"} {
		_, status := (&plugin{}).PreFilter(t.Context(), framework.NewCycleState(), projected(domain), nil)
		if !status.IsSkip() {
			t.Errorf("domain %q: %v", domain, status)
		}
	}
}

func TestQueueingHint(t *testing.T) {
	watched := func(hv *v1alpha1.Hypervisor) any {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(hv)
		if err != nil {
			t.Fatal(err)
		}
		return &unstructured.Unstructured{Object: object}
	}
	for name, test := range map[string]struct {
		old, new any
		want     fwk.QueueingHint
	}{
		"a host with it appears":     {nil, watched(hypervisor("a", kvm)), fwk.Queue},
		"a host without it appears":  {nil, watched(hypervisor("a", qemu)), fwk.QueueSkip},
		"a host comes to offer it":   {watched(hypervisor("a", qemu)), watched(hypervisor("a", kvm, qemu)), fwk.Queue},
		"a host that has it changes": {watched(hypervisor("a", kvm)), watched(hypervisor("a", kvm, qemu)), fwk.QueueSkip},
		"a host ceases to offer it":  {watched(hypervisor("a", kvm)), watched(hypervisor("a", qemu)), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := newPlugin(t, true).afterHostDescribed(logger, projected(`{"type":"kvm"}`), test.old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestUntilTheHostsAreReadAVMIsTriedAgainSoon(t *testing.T) {
	p := newPlugin(t, false)
	_, status := p.PreFilter(t.Context(), framework.NewCycleState(), projected(`{"type":"kvm"}`), nil)
	if status.Code() != fwk.Error {
		t.Errorf("status %v", status)
	}
}
