package services

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// service is a Service of both families with a port by number and one by name.
func service(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "service", Annotations: map[string]string{v1alpha1.ServiceSelectorAnnotation: "app=web"}}}
	s.Labels = map[string]string{"team": "a"}
	s.Spec.ClusterIP = "10.0.0.1"
	s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080)},
		{Name: "stats", Protocol: corev1.ProtocolTCP, Port: 81, TargetPort: intstr.FromString("stats")},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func network(name string, t v1alpha1.NetworkType, subnets ...string) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	n.Spec.Type = t
	for _, s := range subnets {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.NetworkSubnet{Address: s})
	}
	return n
}

// running is a VM whose guest runs on node with a card on pods that was given these.
func running(name, node string, assigned ...string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web"}}}
	vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "net0", NetworkName: "pods"}}
	vm.Spec.Ports = []v1alpha1.GuestPort{{Name: "stats", Protocol: corev1.ProtocolTCP, Port: 9100}}
	vm.Status.Placement = &v1alpha1.Placement{NodeName: node}
	vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostRunning, StartedAt: ptr.To(metav1.NewTime(start))}
	vm.Status.Interfaces = []v1alpha1.InterfaceStatus{{Name: "net0", NetworkName: "pods", Addresses: assigned, Assigned: assigned}}
	is(vm, v1alpha1.ConditionReady, metav1.ConditionTrue, "Running")
	return vm
}

func is(vm *v1alpha1.VirtualMachine, condition string, status metav1.ConditionStatus, reason string) {
	meta.SetStatusCondition(&vm.Status.Conditions, metav1.Condition{Type: condition, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(start)})
}

// nodeList is a lister of Nodes by their zones.
type nodeList map[string]string

func (n nodeList) Get(name string) (*corev1.Node, error) {
	zone, is := n[name]
	if !is {
		return nil, apierrors.NewNotFound(corev1.Resource("nodes"), name)
	}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}}, nil
}

func (n nodeList) List(labels.Selector) (out []*corev1.Node, err error) {
	for name := range n {
		node, _ := n.Get(name)
		out = append(out, node)
	}
	return out, nil
}

// sometime is a tracker of times that knows one.
type sometime time.Time

func (s sometime) ComputeEndpointLastChangeTriggerTime(string, *corev1.Service, []*corev1.Pod) time.Time {
	return time.Time(s)
}

func sit(t interface{ Fatal(...any) }, s *corev1.Service, networks []*v1alpha1.VirtualNetwork, vms ...*v1alpha1.VirtualMachine) situation {
	m, err := read(s)
	if err != nil {
		t.Fatal(err)
	}
	return situation{service: s, mark: m, vms: vms, nodes: nodeList{"a": "z1", "b": "z2"}, networks: func(name string) *v1alpha1.VirtualNetwork {
		for _, n := range networks {
			if n.Name == name {
				return n
			}
		}
		return nil
	}}
}

// in words: what an endpoint is.
func words(e discoveryv1.Endpoint) string {
	out := fmt.Sprintf("%s %s/%s", strings.Join(e.Addresses, ","), ptr.Deref(e.NodeName, "-"), ptr.Deref(e.Zone, "-"))
	for _, c := range []struct {
		name string
		is   *bool
	}{{"ready", e.Conditions.Ready}, {"serving", e.Conditions.Serving}, {"terminating", e.Conditions.Terminating}} {
		if *c.is {
			out += " " + c.name
		}
	}
	if e.Hostname != nil {
		out += " " + *e.Hostname
	}
	return out
}

func TestWhatAnEndpointIs(t *testing.T) {
	pods := network("pods", v1alpha1.NetworkCNI)
	probed := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.ReadinessProbe = &v1alpha1.ReadinessProbe{TCPSocket: &v1alpha1.TCPSocketProbe{Port: intstr.FromInt32(80)}}
	}
	for name, test := range map[string]struct {
		service func(*corev1.Service)
		vm      func(*v1alpha1.VirtualMachine)
		want    string
	}{
		"a guest that runs is ready": {want: "10.1.0.5 a/z1 ready serving"},
		"one that is paused is not":  {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostPaused }, want: "10.1.0.5 a/z1"},
		"one that is restarted is not": {vm: func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Host.State = v1alpha1.HostStopping
			is(vm, v1alpha1.ConditionReady, metav1.ConditionFalse, "Stopping")
		}, want: "10.1.0.5 a/z1"},
		"one that is deleted terminates and serves":   {vm: func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &metav1.Time{Time: start} }, want: "10.1.0.5 a/z1 serving terminating"},
		"one that is evicted terminates and serves":   {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{} }, want: "10.1.0.5 a/z1 serving terminating"},
		"one that is to be off terminates and serves": {vm: func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }, want: "10.1.0.5 a/z1 serving terminating"},
		"one that has ended is none":                  {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostStopped }},
		"one of an earlier binding is none":           {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = 1 }},
		"one without a host is none":                  {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }},
		"one without an address is none":              {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Interfaces[0].Assigned = nil }},
		"one whose probe was not made is not ready":   {vm: probed, want: "10.1.0.5 a/z1"},
		"not where the Service wants all, if serving": {vm: probed, service: func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }, want: "10.1.0.5 a/z1 ready"},
		"one whose host is silent stays, as the only": {vm: func(vm *v1alpha1.VirtualMachine) {
			is(vm, v1alpha1.ConditionHostReachable, metav1.ConditionFalse, v1alpha1.ReasonHostUnreachable)
		}, want: "10.1.0.5 a/z1 ready serving"},
		"one whose probe succeeds is ready": {vm: func(vm *v1alpha1.VirtualMachine) {
			probed(vm)
			is(vm, v1alpha1.ConditionServing, metav1.ConditionTrue, "x")
		}, want: "10.1.0.5 a/z1 ready serving"},
		"one whose probe fails is not": {vm: func(vm *v1alpha1.VirtualMachine) {
			probed(vm)
			is(vm, v1alpha1.ConditionServing, metav1.ConditionFalse, "x")
		}, want: "10.1.0.5 a/z1"},
		"a headless Service names it after its VM": {service: func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }, want: "10.1.0.5 a/z1 ready serving web-0"},
		"but for a name that no host can have":     {service: func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }, vm: func(vm *v1alpha1.VirtualMachine) { vm.Name = "web.0" }, want: "10.1.0.5 a/z1 ready serving"},
		"its Node says the zone":                   {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.NodeName = "b" }, want: "10.1.0.5 b/z2 ready serving"},
		"an address that the API refuses is not given": {vm: func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Interfaces[0].Assigned = []string{"127.0.0.1", "169.254.1.1", "::ffff:10.1.0.9", "10.1.0.6"}
		}, want: "10.1.0.6 a/z1 ready serving"},
	} {
		t.Run(name, func(t *testing.T) {
			s, vm := service(), running("web-0", "a", "10.1.0.5")
			if test.service != nil {
				test.service(s)
			}
			if test.vm != nil {
				test.vm(vm)
			}
			in := sit(t, s, []*v1alpha1.VirtualNetwork{pods}, vm)
			all, _ := members(in)
			next, err := decide(in, all, sometime(start))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, slice := range next.create {
				for _, e := range slice.Endpoints {
					got = append(got, words(e))
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "; ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The whole of a slice, of each family.
func TestSlices(t *testing.T) {
	in := sit(t, service(), []*v1alpha1.VirtualNetwork{network("pods", v1alpha1.NetworkCNI)}, running("web-0", "a", "10.1.0.5", "fd00::5"))
	all, _ := members(in)
	next, err := decide(in, all, sometime(start))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(next.create, func(a, b *discoveryv1.EndpointSlice) int {
		return strings.Compare(string(a.AddressType), string(b.AddressType))
	})
	want := func(family discoveryv1.AddressType, address string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "ns", GenerateName: "web-",
				Labels:          map[string]string{"team": "a", discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: "endpointslice-controller.domus.dev"},
				Annotations:     map[string]string{corev1.EndpointsLastChangeTriggerTime: "2026-01-02T03:04:05Z"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: "web", UID: "service", Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
			},
			AddressType: family,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{address}, NodeName: ptr.To("a"), Zone: ptr.To("z1"),
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
				TargetRef:  &corev1.ObjectReference{APIVersion: "domus.dev/v1alpha1", Kind: "VirtualMachine", Namespace: "ns", Name: "web-0", UID: "uid-web-0"},
			}},
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)},
				{Name: ptr.To("stats"), Port: ptr.To[int32](9100), Protocol: ptr.To(corev1.ProtocolTCP)},
			},
		}
	}
	for i := range next.create {
		slices.SortFunc(next.create[i].Ports, func(a, b discoveryv1.EndpointPort) int { return strings.Compare(*a.Name, *b.Name) })
	}
	if diff := cmp.Diff([]*discoveryv1.EndpointSlice{want("IPv4", "10.1.0.5"), want("IPv6", "fd00::5")}, next.create); diff != "" || len(next.update)+len(next.remove) > 0 {
		t.Errorf("updates %d, removals %d, creations (-want +got):\n%s", len(next.update), len(next.remove), diff)
	}
}

// A VM on a silent host is left out where another can serve.
func TestSilentHosts(t *testing.T) {
	silent := func(name, address string) *v1alpha1.VirtualMachine {
		vm := running(name, "b", address)
		is(vm, v1alpha1.ConditionHostReachable, metav1.ConditionFalse, v1alpha1.ReasonHostUnreachable)
		return vm
	}
	dying := running("web-3", "a", "10.1.0.8")
	dying.DeletionTimestamp = &metav1.Time{Time: start}
	for name, test := range map[string]struct {
		vms  []*v1alpha1.VirtualMachine
		want []bool
	}{
		"one is heard":       {[]*v1alpha1.VirtualMachine{running("web-0", "a", "10.1.0.5"), silent("web-1", "10.1.0.6")}, []bool{true, false}},
		"none is":            {[]*v1alpha1.VirtualMachine{silent("web-0", "10.1.0.5"), silent("web-1", "10.1.0.6")}, []bool{true, true}},
		"one that ends does": {[]*v1alpha1.VirtualMachine{silent("web-1", "10.1.0.6"), dying}, []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			all, _ := members(sit(t, service(), []*v1alpha1.VirtualNetwork{network("pods", v1alpha1.NetworkCNI)}, test.vms...))
			var got []bool
			for _, m := range all {
				got = append(got, m.serving)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("serving: %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsComplainedOf(t *testing.T) {
	nat := func(vm *v1alpha1.VirtualMachine) { vm.Spec.Interfaces[0].NetworkName = "nat" }
	networks := []*v1alpha1.VirtualNetwork{network("pods", v1alpha1.NetworkCNI), network("nat", v1alpha1.NetworkNAT, "192.168.1.1/24")}
	for name, test := range map[string]struct {
		service func(*corev1.Service)
		vm      func(*v1alpha1.VirtualMachine)
		after   time.Duration
		want    string
		again   time.Duration
	}{
		"nothing":                                {after: time.Hour},
		"a network that is not there":            {service: func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceNetworkAnnotation] = "lan" }, want: "UnknownVMNetwork: annotation domus.dev/vm-network: there is no VirtualNetwork lan in namespace ns: create it, or name another"},
		"a network that the host alone knows":    {vm: nat, want: "VMsWithoutAddress: no address for VirtualMachine web-0: none of its cards is on a network of type cni, routed, bridge or direct: addresses of nat and isolated ones are known on their host alone"},
		"a network whose guests choose":          {service: func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceNetworkAnnotation] = "nat" }, vm: nat, want: "VMsWithoutAddress: no address for VirtualMachine web-0: VirtualNetwork nat is of type nat, where guests choose their addresses: Services lead there in namespaces labelled domus.dev/policy-level=privileged alone; use a network of type cni"},
		"not a guest that has just been started": {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Interfaces[0].Assigned = nil }, after: 20 * time.Second, again: 40 * time.Second},
		"one that still has no address":          {vm: func(vm *v1alpha1.VirtualMachine) { vm.Status.Interfaces[0].Assigned = nil }, after: time.Minute, want: "VMsWithoutAddress: no address for VirtualMachine web-0: its card net0 has no address that a CNI plugin gave it, and no other counts, on VirtualNetwork pods: not yet"},
		"a port that the guest has not":          {vm: func(vm *v1alpha1.VirtualMachine) { vm.Spec.Ports = nil }, want: "VMsWithoutPort: port stats: spec.ports of VirtualMachine web-0 has no TCP port called stats, its targetPort: add it there, or give targetPort as a number"},
		"a port without a name": {service: func(s *corev1.Service) {
			s.Spec.Ports = []corev1.ServicePort{{Port: 9100, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("stats")}}
		}, vm: func(vm *v1alpha1.VirtualMachine) { vm.Spec.Ports = nil }, want: "VMsWithoutPort: port 9100: spec.ports of VirtualMachine web-0 has no TCP port called stats, its targetPort: add it there, or give targetPort as a number"},
	} {
		t.Run(name, func(t *testing.T) {
			s, vm := service(), running("web-0", "a", "10.1.0.5")
			if test.service != nil {
				test.service(s)
			}
			if test.vm != nil {
				test.vm(vm)
			}
			in := sit(t, s, networks, vm)
			all, not := members(in)
			got, again := complain(in, all, not, start.Add(test.after))
			text := ""
			if got.reason != "" {
				text = got.reason + ": " + got.message
			}
			if diff := cmp.Diff(test.want, text); diff != "" || again != test.again {
				t.Errorf("again in %s, (-want +got):\n%s", again, diff)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Service)
		want   string
	}{
		"a set":           {func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceSelectorAnnotation] = "app in (a,b),!old" }, ""},
		"empty":           {func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceSelectorAnnotation] = " " }, "annotation domus.dev/vm-selector is empty: give it a label selector such as app=web, or remove it"},
		"no selector":     {func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceSelectorAnnotation] = "app in a" }, `annotation domus.dev/vm-selector: "app in a" is no label selector`},
		"no network name": {func(s *corev1.Service) { s.Annotations[v1alpha1.ServiceNetworkAnnotation] = "A B" }, `annotation domus.dev/vm-network: "A B" is no name of a VirtualNetwork`},
		"a name in DNS":   {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, "a Service of type ExternalName is a name in DNS and leads to no VM"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(service(test.change))
			if got := fmt.Sprint(err); test.want == "" && err != nil || test.want != "" && !strings.HasPrefix(got, test.want) {
				t.Errorf("%s", got)
			}
		})
	}
}

// world is what an API server has of a Service's slices.
type world struct {
	slices map[string]*discoveryv1.EndpointSlice
	made   int
}

func (w *world) list() (out []*discoveryv1.EndpointSlice) {
	for _, name := range slices.Sorted(maps.Keys(w.slices)) {
		out = append(out, w.slices[name])
	}
	return out
}

func (w *world) apply(c changes) {
	for _, s := range c.create {
		s = s.DeepCopy()
		w.made++
		s.Name = fmt.Sprintf("%s%05d", s.GenerateName, w.made)
		w.slices[s.Name] = s
	}
	for _, s := range c.update {
		w.slices[s.Name] = s.DeepCopy()
	}
	for _, s := range c.remove {
		delete(w.slices, s.Name)
	}
}

// However VMs come, change and go: slices have what they are, each once, never more
// than 100 in one; and where nothing has changed nothing is written.
func TestSlicesFollowVMs(t *testing.T) {
	pods := network("pods", v1alpha1.NetworkCNI)
	rapid.Check(t, func(t *rapid.T) {
		w := &world{slices: map[string]*discoveryv1.EndpointSlice{}}
		s := service()
		vms := map[string]*v1alpha1.VirtualMachine{}
		serial := 0
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for range rapid.IntRange(0, 150).Draw(t, "come") {
				serial++
				name := fmt.Sprintf("web-%04d", serial)
				vm := running(name, []string{"a", "b"}[serial%2], fmt.Sprintf("10.1.%d.%d", serial/250, 1+serial%250))
				if serial%3 > 0 {
					vm.Status.Interfaces[0].Assigned = append(vm.Status.Interfaces[0].Assigned, fmt.Sprintf("fd00::%x", serial))
				}
				if serial%7 == 0 {
					vm.Spec.Ports = nil
				}
				vms[name] = vm
			}
			for _, name := range slices.Sorted(maps.Keys(vms)) {
				switch rapid.IntRange(0, 9).Draw(t, "what becomes of it") {
				case 0:
					delete(vms, name)
				case 1:
					vms[name].Status.Host.State = v1alpha1.HostPaused
				case 2:
					vms[name].Status.Host.State = v1alpha1.HostRunning
				case 3:
					vms[name].Spec.PowerState = v1alpha1.PowerStopped
				}
			}
			in := sit(t, s, []*v1alpha1.VirtualNetwork{pods}, slices.Collect(maps.Values(vms))...)
			in.slices = w.list()
			all, _ := members(in)
			next, err := decide(in, all, sometime(start))
			if err != nil {
				t.Fatal(err)
			}
			w.apply(next)

			got := map[string]int{}
			for _, slice := range w.slices {
				if len(slice.Endpoints) > 100 {
					t.Fatalf("%d endpoints in a slice", len(slice.Endpoints))
				}
				for _, e := range slice.Endpoints {
					got[fmt.Sprintf("%s %d %s", slice.AddressType, len(slice.Ports), words(e))]++
				}
			}
			want := map[string]int{}
			for _, vm := range vms {
				says := ""
				if vm.Status.Host.State == v1alpha1.HostRunning {
					says = " serving"
					if vm.Spec.PowerState != v1alpha1.PowerStopped {
						says = " ready serving"
					}
				}
				if vm.Spec.PowerState == v1alpha1.PowerStopped {
					says += " terminating"
				}
				for _, ip := range vm.Status.Interfaces[0].Assigned {
					family := "IPv4"
					if strings.Contains(ip, ":") {
						family = "IPv6"
					}
					node := vm.Status.Placement.NodeName
					want[fmt.Sprintf("%s %d %s %s/%s%s", family, 1+len(vm.Spec.Ports), ip, node, nodeList{"a": "z1", "b": "z2"}[node], says)]++
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			in.slices = w.list()
			if next, err := decide(in, all, sometime(start)); err != nil || !next.none() {
				t.Fatalf("writes for nothing: %d, %d, %d, %v", len(next.create), len(next.update), len(next.remove), err)
			}
		}
	})
}
