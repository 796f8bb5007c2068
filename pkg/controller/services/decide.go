package services

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/endpointslice"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmaddress"
)

// maxEndpoints is how many endpoints a slice has at most: the default of Kubernetes'
// own controller.
const maxEndpoints = 100

// situation is all that a Service's slices depend on.
type situation struct {
	service *corev1.Service
	mark    mark
	// vms are those of the namespace that the mark selects.
	vms      []*v1alpha1.VirtualMachine
	networks vmaddress.Networks
	// privileged is the namespace's policy level.
	privileged bool
	// nodes has what is known of the VMs' hosts.
	nodes corelisters.NodeLister
	// slices are those that there are.
	slices []*discoveryv1.EndpointSlice
}

// unserved is a VM with a guest that the Service cannot lead to.
type unserved struct {
	name string
	why  error
	// started is when its guest was started.
	started *metav1.Time
}

// members are the VMs that the Service leads to, and those that it should and cannot.
func members(in situation) (out []member, not []unserved) {
	for _, vm := range in.vms {
		if !hasGuest(vm) {
			continue
		}
		a, err := vmaddress.ForService(vm, in.networks, in.mark.network, in.privileged)
		if err != nil {
			not = append(not, unserved{vm.Name, err, vm.Status.Host.StartedAt})
			continue
		}
		out = append(out, newMember(vm, a))
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.vm.Name, b.vm.Name) })
	slices.SortFunc(not, func(a, b unserved) int { return strings.Compare(a.name, b.name) })
	doubt(out)
	return out, not
}

// changes are writes of EndpointSlices.
type changes struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

func (c changes) none() bool { return len(c.create)+len(c.update)+len(c.remove) == 0 }

// triggers tells the time of the change that slices are written for, of what it has
// seen of Service and Pods.
type triggers interface {
	ComputeEndpointLastChangeTriggerTime(namespace string, service *corev1.Service, pods []*corev1.Pod) time.Time
}

// decide says which writes bring the Service's slices to what its members are. An
// error tells of members that were left out; the changes are to be made all the same.
// It writes nothing and changes nothing that it is given.
func decide(in situation, members []member, when triggers) (changes, error) {
	pods := make([]*corev1.Pod, 0, len(members))
	for _, m := range members {
		pods = append(pods, m.pod(in.service))
	}
	have := make([]*discoveryv1.EndpointSlice, 0, len(in.slices))
	for _, s := range in.slices {
		have = append(have, asOfPods(s))
	}
	log := &writes{have: in.slices}
	r := endpointslice.NewReconciler(log, in.nodes, maxEndpoints, endpointsliceutil.NewEndpointSliceTracker(), nil, nil,
		v1alpha1.SliceManager, endpointslice.WithPreferSameTrafficDistributionEnabled(true))
	err := r.Reconcile(klog.Background().V(4), in.service, pods, have, when.ComputeEndpointLastChangeTriggerTime(in.service.Namespace, in.service, pods))
	return log.changes, err
}

// writes takes down the writes of EndpointSlices that the library makes; it is no
// client of anything, and has no other method.
type writes struct {
	kubernetes.Interface
	discoveryclient.DiscoveryV1Interface
	discoveryclient.EndpointSliceInterface
	have    []*discoveryv1.EndpointSlice
	changes changes
}

func (w *writes) DiscoveryV1() discoveryclient.DiscoveryV1Interface            { return w }
func (w *writes) EndpointSlices(string) discoveryclient.EndpointSliceInterface { return w }

func (w *writes) Create(_ context.Context, s *discoveryv1.EndpointSlice, _ metav1.CreateOptions) (*discoveryv1.EndpointSlice, error) {
	w.changes.create = append(w.changes.create, asOfVMs(s))
	return s, nil
}

func (w *writes) Update(_ context.Context, s *discoveryv1.EndpointSlice, _ metav1.UpdateOptions) (*discoveryv1.EndpointSlice, error) {
	w.changes.update = append(w.changes.update, asOfVMs(s))
	return s, nil
}

func (w *writes) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	for _, s := range w.have {
		if s.Name == name {
			w.changes.remove = append(w.changes.remove, s)
		}
	}
	return nil
}

const (
	kindPod = "Pod"
	kindVM  = "VirtualMachine"
)

// asOfPods is the slice as the library would have written it: endpoints refer to Pods.
func asOfPods(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	return referring(s, func(r *corev1.ObjectReference) {
		if r.Kind == kindVM && r.APIVersion == v1alpha1.GroupVersion.String() {
			r.Kind, r.APIVersion = kindPod, ""
		}
	})
}

// asOfVMs is the slice as it is to be: endpoints refer to VirtualMachines. Who looks
// for Pods behind an endpoint is not led astray.
func asOfVMs(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	return referring(s, func(r *corev1.ObjectReference) {
		if r.Kind == kindPod {
			r.Kind, r.APIVersion = kindVM, v1alpha1.GroupVersion.String()
		}
	})
}

func referring(s *discoveryv1.EndpointSlice, change func(*corev1.ObjectReference)) *discoveryv1.EndpointSlice {
	out := s.DeepCopy()
	for i := range out.Endpoints {
		if r := out.Endpoints[i].TargetRef; r != nil {
			change(r)
		}
	}
	return out
}

// portless names a port of the Service by which no member is reached, since it is called
// by a name that their spec.ports have not; nil where there is none.
func portless(in situation, members []member) error {
	for _, p := range in.service.Spec.Ports {
		if p.TargetPort.StrVal == "" {
			continue
		}
		var lacking []string
		for _, m := range members {
			if _, err := endpointslice.FindPort(m.pod(in.service), &p); err != nil {
				lacking = append(lacking, m.vm.Name)
			}
		}
		if len(lacking) > 0 {
			return fmt.Errorf("port %s: spec.ports of VirtualMachine %s has no %s port called %s, its targetPort: add it there, or give targetPort as a number", cmp.Or(p.Name, strconv.Itoa(int(p.Port))), some(lacking), p.Protocol, p.TargetPort.StrVal)
		}
	}
	return nil
}

// maxNamed is how many VMs a message names.
const maxNamed = 3

// some names a few of the names.
func some(names []string) string {
	out := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if more := len(names) - maxNamed; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// complaint is what is wrong with a Service, for an event; reason is a CamelCase word
// and empty when all is well.
type complaint struct{ reason, message string }

// Reasons of events.
const (
	reasonInvalid      = "InvalidVMSelector"
	reasonNoNetwork    = "UnknownVMNetwork"
	reasonNoAddress    = "VMsWithoutAddress"
	reasonNoPort       = "VMsWithoutPort"
	reasonWriteFailed  = "FailedToUpdateEndpointSlices"
	actionUpdateSlices = "UpdateEndpointSlices"
)

// patience is how long a guest may be without an address before that is complained of.
const patience = time.Minute

// complain says what of the Service cannot be served, and in how long there may be more
// to say, 0 for not before something changes.
func complain(in situation, members []member, not []unserved, now time.Time) (complaint, time.Duration) {
	if n := in.mark.network; n != "" && in.networks(n) == nil {
		return complaint{reasonNoNetwork, fmt.Sprintf("annotation %s: there is no VirtualNetwork %s in namespace %s: create it, or name another", v1alpha1.ServiceNetworkAnnotation, n, in.service.Namespace)}, 0
	}
	var names []string
	var why error
	var again time.Duration
	for _, n := range not {
		if errors.Is(n.why, vmaddress.ErrNotYet) && n.started != nil {
			if left := n.started.Add(patience).Sub(now); left > 0 {
				if again == 0 || left < again {
					again = left
				}
				continue
			}
		}
		names = append(names, n.name)
		if why == nil {
			why = n.why
		}
	}
	if len(names) > 0 {
		return complaint{reasonNoAddress, fmt.Sprintf("no address for VirtualMachine %s: %v", some(names), why)}, again
	}
	if err := portless(in, members); err != nil {
		return complaint{reasonNoPort, err.Error()}, again
	}
	return complaint{}, again
}
