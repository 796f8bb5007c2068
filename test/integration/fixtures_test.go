package integration

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity"
)

const gib = int64(1) << 30

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// hosts makes n hosts that offer r and have no NUMA cells, labelled with the
// test's namespace so that tests share no host, and removes them when the test
// ends.
func hosts(t *testing.T, ns string, n int, r capacity.Resources) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-host-%d", ns, i)
		create(t, &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}})
		report(t, name, &v1alpha1.HypervisorStatus{Allocatable: r.Host()})
		names = append(names, host(t, ns, name, r))
	}
	return names
}

// host makes a host's Node, and returns its name.
func host(t *testing.T, ns, name string, r capacity.Resources) string {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": ns, corev1.LabelHostname: name}}}
	create(t, node)
	// The API server taints new Nodes as not ready; nobody is there to lift it.
	node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}}
	if err := suite.client.Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	offer(t, name, r)
	return name
}

// grow has a host without cells report r.
func grow(t *testing.T, name string, r capacity.Resources) {
	t.Helper()
	report(t, name, &v1alpha1.HypervisorStatus{Allocatable: r.Host()})
	offer(t, name, r)
}

// offer reports r as the host's resources, on its Node alone.
func offer(t *testing.T, name string, r capacity.Resources) {
	t.Helper()
	node := &corev1.Node{}
	get(t, types.NamespacedName{Name: name}, node)
	before := node.DeepCopy()
	node.Status.Capacity, node.Status.Allocatable = r.List(), r.List()
	if err := suite.client.Status().Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// newVM returns a VM of cpu vCPUs and gb GiB that fits on the namespace's own
// hosts only.
func newVM(ns, name string, cpu int32, gb int64, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	vm.Spec.NodeSelector = map[string]string{"test": ns}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: *resource.NewQuantity(gb*gib, resource.BinarySI)}
	for _, f := range change {
		f(vm)
	}
	return vm
}

// create makes obj and removes it, finalizers and all, when the test ends.
func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := suite.client.Create(t.Context(), obj); err != nil {
		t.Fatalf("creating %T %s: %v", obj, obj.GetName(), err)
	}
	t.Cleanup(func() { remove(obj) })
}

func remove(obj client.Object) {
	ctx := context.Background()
	_ = suite.client.Delete(ctx, obj)
	live := obj.DeepCopyObject().(client.Object)
	if suite.client.Get(ctx, client.ObjectKeyFromObject(obj), live) == nil && len(live.GetFinalizers()) > 0 {
		before := live.DeepCopyObject().(client.Object)
		live.SetFinalizers(nil)
		_ = suite.client.Patch(ctx, live, client.MergeFrom(before))
	}
}

func get(t *testing.T, key types.NamespacedName, obj client.Object) {
	t.Helper()
	if err := suite.client.Get(t.Context(), key, obj); err != nil {
		t.Fatalf("reading %T %s: %v", obj, key, err)
	}
}

// waitVM waits until is returns "" for the VM, and returns it; what is returned
// last says what was missing.
func waitVM(t *testing.T, ns, name string, is func(*v1alpha1.VirtualMachine) string) *v1alpha1.VirtualMachine {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		vm := &v1alpha1.VirtualMachine{}
		if err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, vm); err != nil {
			last = err.Error()
			continue
		}
		if last = is(vm); last == "" {
			return vm
		}
	}
	t.Fatalf("VM %s/%s: %s", ns, name, last)
	return nil
}

// stays fails the test when is says anything while the test waits shortly.
func stays(t *testing.T, ns, name string, is func(*v1alpha1.VirtualMachine) string) {
	t.Helper()
	for deadline := time.Now().Add(shortly); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		vm := &v1alpha1.VirtualMachine{}
		get(t, types.NamespacedName{Namespace: ns, Name: name}, vm)
		if said := is(vm); said != "" {
			t.Fatalf("VM %s/%s: %s", ns, name, said)
		}
	}
}

func bound(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Placement == nil {
		return fmt.Sprintf("not bound: %+v", vm.Status)
	}
	return ""
}

func unbound(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Placement != nil {
		return "bound to " + vm.Status.Placement.NodeName
	}
	return ""
}

func boundTo(node string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		if said := bound(vm); said != "" {
			return said
		}
		if vm.Status.Placement.NodeName != node {
			return fmt.Sprintf("bound to %s, want %s", vm.Status.Placement.NodeName, node)
		}
		return ""
	}
}

// waiting says that the VM's Scheduled condition is False for reason with a
// message that contains text.
func waiting(reason, text string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
		if c == nil {
			return "has no Scheduled condition"
		}
		if c.Status != metav1.ConditionFalse || c.Reason != reason || !strings.Contains(c.Message, text) {
			return fmt.Sprintf("Scheduled is %s %s %q, want False %s with %q", c.Status, c.Reason, c.Message, reason, text)
		}
		return ""
	}
}

// hostSays writes status.host as the executor of the VM's host would.
func hostSays(t *testing.T, ns, name string, state v1alpha1.HostState, reason, message string) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: name}, vm)
	_, err := vmstatus.New(suite.client).Patch(t.Context(), vm, func(s *v1alpha1.VirtualMachineStatus) {
		s.Host = &v1alpha1.HostStatus{Epoch: s.Epoch, State: state, Reason: reason, Message: message}
		s.ObservedGeneration = vm.Generation
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eventOn waits for an event of reason about the VM and returns its note.
func eventOn(t *testing.T, ns, name, reason string) string {
	t.Helper()
	return eventAbout(t, "VirtualMachine", ns, name, reason)
}

// eventAbout does so of an object of the kind.
func eventAbout(t *testing.T, kind, ns, name, reason string) string {
	t.Helper()
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		list, err := suite.clientset.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == reason && e.Regarding.Kind == kind && e.Regarding.Name == name {
				return e.Note
			}
		}
	}
	t.Fatalf("no event %s about %s %s/%s", reason, kind, ns, name)
	return ""
}

// waitWebhook waits until the webhook answers: until then every creation of a
// VM is refused.
func waitWebhook(t *testing.T) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		vm := newVM("default", "probe", 1, 1)
		if err = suite.client.Create(t.Context(), vm, client.DryRunAll); err == nil {
			return
		}
	}
	t.Fatalf("the webhook does not answer: %v", err)
}

// emptied is a namespace whose VMs are all removed when the test ends.
func emptied(t *testing.T) string {
	t.Helper()
	ns := namespace(t, nil)
	t.Cleanup(func() {
		_ = suite.client.DeleteAllOf(context.Background(), &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
	})
	return ns
}
