package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/placementmap"
)

const (
	manyHosts = 500
	perHost   = 10
	// markup is a name that no API server lets through, and a message that it does.
	markup = `<img src=x onerror="window.hacked=1">`
)

// informer is one that the test speaks for.
type informer struct{ handler cache.ResourceEventHandler }

func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handler = h
	return delivered{}, nil
}

type delivered struct {
	cache.ResourceEventHandlerRegistration
}

func (delivered) HasSynced() bool { return true }

// answers are a VM with markup wherever one can be, and a review of it.
type answers struct{ client.Reader }

func (answers) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	vm := newVM(0, "")
	vm.Namespace, vm.Name = key.Namespace, key.Name
	vm.Labels = map[string]string{markup: markup}
	vm.Status.Reason, vm.Status.Message = markup, markup
	vm.Status.Conditions = []metav1.Condition{{Type: markup, Reason: markup, Message: markup}}
	vm.Status.ExcludedHosts = []v1alpha1.HostExclusion{{NodeName: markup, Message: markup}}
	vm.Spec.PriorityClassName = markup
	*obj.(*v1alpha1.VirtualMachine) = *vm
	return nil
}

func (answers) Review(context.Context, *v1alpha1.VirtualMachine, *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	return &v1alpha1.PlacementReviewStatus{
		Message: markup, Hosts: manyHosts, Feasible: 1, Changes: []string{markup},
		Candidates: []v1alpha1.PlacementCandidate{{NodeName: markup, Score: 7, Plugins: []v1alpha1.PluginScore{{Name: markup, Score: 7}}}},
		Rejections: []v1alpha1.PlacementRejection{{Plugin: markup, Reason: markup, Hosts: 2, NodeNames: []string{markup}}},
	}, nil
}

// newHost has two cells of 32 CPUs and 128 GiB, with hugepages of both sizes.
func newHost(i int) (*v1alpha1.Hypervisor, *corev1.Node) {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("host-%03d", i)}}
	hv.Status.Conditions = []metav1.Condition{{Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue}}
	if i == manyHosts-1 {
		hv.Name = markup
		hv.Status.Conditions = append(hv.Status.Conditions, metav1.Condition{Type: v1alpha1.HypervisorConsistent, Status: metav1.ConditionFalse, Reason: markup, Message: markup})
	}
	const gib = int64(1) << 30
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 64, Memory: 192 * gib, Hugepages2Mi: 32 * gib, Hugepages1Gi: 32 * gib}
	for id, cpus := range []string{"0-31", "32-63"} {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(id), CPUs: cpus, Memory: 128 * gib,
			Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: 8192}, {Size: v1alpha1.PageSize1Gi, Total: 16}}})
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hv.Name}}
	node.Status.Allocatable = capacity.FromHost(hv.Status.Allocatable).List()
	if i%97 == 5 {
		node.Spec.Unschedulable = true
	}
	if i%113 == 7 {
		node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule}}
	}
	return hv, node
}

// newVM is the i-th VM; one of a host has its place there.
func newVM(i int, host string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%02d", i%40), Name: fmt.Sprintf("vm-%04d", i)}}
	cpu, memory := int32(1+i%5+i/perHost*7%5), int64(2+i*7%(8+i/perHost*11%24))<<30
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: *resource.NewQuantity(memory, resource.BinarySI)}
	if host == "" {
		vm.Status.Phase, vm.Status.Reason = v1alpha1.PhasePending, "Unschedulable"
		vm.Status.Message = "none of 500 hosts can take it: 500 hosts: need 96 vCPUs, the most that is free is 61 (host-004)"
		return vm
	}
	vm.Status.Phase = v1alpha1.PhaseRunning
	vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: v1alpha1.GrantedResources{CPU: cpu, Memory: memory, Overhead: 256 << 20}}
	if i%7 == 3 {
		memory = min(memory, 8<<30)
		vm.Status.Placement.Granted.Memory, vm.Status.Placement.Granted.PageSize = memory, v1alpha1.PageSize1Gi
	}
	if i%3 != 0 {
		vm.Status.Placement.Cells = []v1alpha1.PlacedCell{{ID: int32(i % 2), CPU: cpu, Memory: memory}}
	}
	return vm
}

// A fleet of 500 hosts with 5,000 VMs can be looked at, by mouse and by keyboard, and
// nothing that a user has written is more than text. The figures are logged.
func TestALargeFleet(t *testing.T) {
	vms, hypervisors, nodes := &informer{}, &informer{}, &informer{}
	fleet, err := placementmap.NewFleet(vms, hypervisors, nodes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range manyHosts {
		hv, node := newHost(i)
		hypervisors.handler.OnAdd(hv, true)
		nodes.handler.OnAdd(node, true)
		for j := range perHost {
			vms.handler.OnAdd(newVM(i*perHost+j, hv.Name), true)
		}
	}
	// 100 more wait.
	for i := range 100 {
		vm := newVM(manyHosts*perHost+i, "")
		if i == 0 {
			vm.Name, vm.Namespace, vm.Status.Message, vm.Status.Reason = markup, "team-00", markup, markup
		}
		vms.handler.OnAdd(vm, true)
	}
	go func() { _ = fleet.Start(t.Context()) }()
	handler := placementmap.NewHandler(placementmap.Options{
		Fleet: fleet, Client: answers{}, Explainer: answers{},
		Authenticator: authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "admin"}}, true, nil
		}),
		Authorizer: authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
			return authorizer.DecisionAllow, "", nil
		}),
	})
	server := httptest.NewServer(valid(handler))
	defer server.Close()
	defer server.CloseClientConnections()

	told := watch(t, "fleet.mjs", server.URL+placementmap.Path, manyHosts, func(what string) error {
		var from, count int
		if _, err := fmt.Sscanf(what, "lose %d %d", &from, &count); err != nil {
			return fmt.Errorf("it cannot be asked to %s", what)
		}
		// So many VMs lose their hosts.
		for i := range count {
			vms.handler.OnUpdate(nil, newVM(from+i, ""))
		}
		return nil
	})
	for name, most := range map[string]float64{
		"state_bytes_gzip": 300_000, "page_bytes": 60_000, "fleet_drawn_ms": 20_000, "one_change_ms": 1000, "one_change_cells_ms": 1000, "500_changes_ms": 3000, "elements": 20_000, "elements_cells": 20_000,
	} {
		if got, err := strconv.ParseFloat(told[name], 64); err != nil || got > most {
			t.Errorf("%s is %s, want at most %g", name, told[name], most)
		}
	}
}

// valid lets the server answer about a VM whose name no API server would let through.
func valid(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("name") == markup {
			q.Set("name", "markup")
			r.URL.RawQuery = q.Encode()
		}
		handler.ServeHTTP(w, r)
	})
}
