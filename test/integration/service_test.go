package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity"
)

// guestHas writes what the executor of the VM's host would: its guest runs with these
// addresses, which a CNI plugin gave the card. serving is the probe's result.
func guestHas(t *testing.T, ns, name string, serving metav1.ConditionStatus, addresses ...string) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: name}, vm)
	_, err := vmstatus.New(suite.client).Patch(t.Context(), vm, func(s *v1alpha1.VirtualMachineStatus) {
		s.Host = &v1alpha1.HostStatus{Epoch: s.Epoch, State: v1alpha1.HostRunning, StartedAt: ptr.To(metav1.Now())}
		s.Interfaces = []v1alpha1.InterfaceStatus{{Name: "card0", NetworkName: "pods", MACAddress: vm.MACOf(&vm.Spec.Interfaces[0]), Addresses: addresses, Assigned: addresses}}
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Running"})
		if serving != "" {
			meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: v1alpha1.ConditionServing, Status: serving, Reason: "Probe"})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// slicesOf are the EndpointSlices of a Service that Domus keeps, by name.
func slicesOf(t *testing.T, ns, service string) []discoveryv1.EndpointSlice {
	t.Helper()
	list := &discoveryv1.EndpointSliceList{}
	err := suite.client.List(t.Context(), list, client.InNamespace(ns), client.MatchingLabels{
		discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "endpointslice-controller.domus.dev",
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// endpointsOf are a Service's endpoints in words, sorted, each with how its slice names
// and numbers ports; a slice without any is its address type.
func endpointsOf(t *testing.T, ns, service string) string {
	t.Helper()
	var out []string
	for _, s := range slicesOf(t, ns, service) {
		if len(s.Endpoints) == 0 {
			out = append(out, string(s.AddressType))
		}
		var ports []string
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprintf("%s=%d", *p.Name, *p.Port))
		}
		slices.Sort(ports)
		for _, e := range s.Endpoints {
			text := strings.Join(e.Addresses, ",") + " " + strings.Join(ports, ",") + " " + e.TargetRef.Kind + "/" + e.TargetRef.Name
			if *e.Conditions.Ready {
				text += " ready"
			}
			if e.Zone != nil {
				text += " in " + *e.Zone
			}
			if e.Hostname != nil {
				text += " called " + *e.Hostname
			}
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// waitEndpoints waits until the Service web has these.
func waitEndpoints(t *testing.T, ns, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = endpointsOf(t, ns, "web"); got == want {
			return
		}
	}
	t.Fatalf("Service %s/web has\n%s\nwant\n%s", ns, got, want)
}

// A Service of VMs, from the mark to its end.
func TestServices(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	node := hosts(t, ns, 1, capacity.Resources{CPU: 16, Memory: 64 * gib})[0]
	create(t, newNetwork(ns, "pods", v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkCNI, CNI: &v1alpha1.CNINetwork{ConfigName: "pods"}}))
	status := &v1alpha1.HypervisorStatus{Allocatable: capacity.Resources{CPU: 16, Memory: 64 * gib}.Host(), CNINetworks: []string{"pods"}}
	report(t, node, status)

	web := func(probe bool) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) {
			vm.Labels = map[string]string{"app": "web"}
			vm.Spec.Ports = []v1alpha1.GuestPort{{Name: "admin", Port: 9000}}
			if probe {
				vm.Spec.ReadinessProbe = &v1alpha1.ReadinessProbe{HTTPGet: &v1alpha1.HTTPGetProbe{Port: intstr.FromString("admin"), Path: "/healthz"}}
			}
		}
	}
	for _, name := range []string{"web-0", "web-1"} {
		create(t, newVM(ns, name, 1, 1, withCards("pods"), web(name == "web-1")))
		waitVM(t, ns, name, boundTo(node))
	}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}}
	s.Spec = corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack), IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 90, TargetPort: intstr.FromString("admin")}},
	}
	create(t, s)
	// What another controller has made of it is none of ours.
	foreign := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web-pods", Labels: map[string]string{
		discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
	}}, AddressType: discoveryv1.AddressTypeIPv4}
	create(t, foreign)
	time.Sleep(shortly)
	if got := endpointsOf(t, ns, "web"); got != "" {
		t.Errorf("a Service without the mark has %s", got)
	}
	annotate := func(key string, value any) {
		t.Helper()
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, key)
		if value != nil {
			patch = fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, key, value)
		}
		if err := suite.client.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	annotate(v1alpha1.ServiceSelectorAnnotation, "app=web")
	waitEndpoints(t, ns, "IPv4")

	guestHas(t, ns, "web-0", "", "10.9.0.5")
	guestHas(t, ns, "web-1", metav1.ConditionFalse, "10.9.0.6", "fd00::6")
	const first, second = "10.9.0.5 admin=9000,http=80 VirtualMachine/web-0 ready called web-0", "10.9.0.6 admin=9000,http=80 VirtualMachine/web-1"
	waitEndpoints(t, ns, first+"; "+second+" called web-1")
	guestHas(t, ns, "web-1", metav1.ConditionTrue, "10.9.0.6", "fd00::6")
	waitEndpoints(t, ns, first+"; "+second+" ready called web-1")
	made := slicesOf(t, ns, "web")
	if len(made) != 1 || len(made[0].OwnerReferences) != 1 || made[0].OwnerReferences[0].UID != s.UID {
		t.Errorf("slices %+v", made)
	}

	// Whatever else is written of the VMs, and whoever else is a vm-scheduler.
	version := func() string {
		out := ""
		for _, s := range slicesOf(t, ns, "web") {
			out += s.Name + "@" + s.ResourceVersion + " "
		}
		return out
	}
	before := version()
	hostSays(t, ns, "web-0", v1alpha1.HostRunning, "", "a message")
	time.Sleep(shortly)
	if after := version(); after != before {
		t.Errorf("a slice was written for nothing: %s, then %s", before, after)
	}

	// The zone of the host; and a slice that somebody removes.
	if err := suite.client.Patch(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"topology.kubernetes.io/zone":"z1"}}}`))); err != nil {
		t.Fatal(err)
	}
	zoned := strings.ReplaceAll(first+"; "+second+" ready called web-1", " called", " in z1 called")
	waitEndpoints(t, ns, zoned)
	if err := suite.client.Delete(t.Context(), &slicesOf(t, ns, "web")[0]); err != nil {
		t.Fatal(err)
	}
	waitEndpoints(t, ns, zoned)

	// A network that there is not, and a selector that is none.
	annotate(v1alpha1.ServiceNetworkAnnotation, "lan")
	waitEndpoints(t, ns, "IPv4")
	if note := eventAbout(t, "Service", ns, "web", "UnknownVMNetwork"); !strings.Contains(note, "there is no VirtualNetwork lan in namespace "+ns) {
		t.Errorf("the event says %s", note)
	}
	annotate(v1alpha1.ServiceNetworkAnnotation, nil)
	waitEndpoints(t, ns, zoned)
	annotate(v1alpha1.ServiceSelectorAnnotation, "app in web")
	waitEndpoints(t, ns, "IPv4")
	if note := eventAbout(t, "Service", ns, "web", "InvalidVMSelector"); !strings.Contains(note, "domus.dev/vm-selector") {
		t.Errorf("the event says %s", note)
	}

	// The mark goes, comes back, and the Service goes; nobody collects garbage here.
	annotate(v1alpha1.ServiceSelectorAnnotation, nil)
	waitEndpoints(t, ns, "")
	annotate(v1alpha1.ServiceSelectorAnnotation, "app=web")
	waitEndpoints(t, ns, zoned)
	remove(s)
	waitEndpoints(t, ns, "")
	now := &discoveryv1.EndpointSlice{}
	get(t, client.ObjectKeyFromObject(foreign), now)
	if now.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("another controller's slice was written: %+v", now)
	}
}

// More VMs than a slice holds; slices of another vm-scheduler are taken over.
func TestLargeServices(t *testing.T) {
	const many = 130
	first := startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	node := hosts(t, ns, 1, capacity.Resources{CPU: 2 * many, Memory: 4 * many * gib})[0]
	create(t, newNetwork(ns, "pods", v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkCNI, CNI: &v1alpha1.CNINetwork{ConfigName: "pods"}}))
	report(t, node, &v1alpha1.HypervisorStatus{Allocatable: capacity.Resources{CPU: 2 * many, Memory: 4 * many * gib}.Host(), CNINetworks: []string{"pods"}})
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "many", Annotations: map[string]string{v1alpha1.ServiceSelectorAnnotation: "app=many"}}}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	create(t, s)
	for i := range many {
		if err := suite.client.Create(t.Context(), newVM(ns, fmt.Sprintf("vm-%03d", i), 1, 1, withCards("pods"), func(vm *v1alpha1.VirtualMachine) { vm.Labels = map[string]string{"app": "many"} })); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		name := fmt.Sprintf("vm-%03d", i)
		waitVM(t, ns, name, boundTo(node))
		guestHas(t, ns, name, "", fmt.Sprintf("10.9.1.%d", i+1))
	}
	sizes := func() (out []int) {
		for _, s := range slicesOf(t, ns, "many") {
			out = append(out, len(s.Endpoints))
		}
		slices.Sort(out)
		return out
	}
	total := func(n int) {
		t.Helper()
		sum := 0
		for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			sum = 0
			for _, size := range sizes() {
				sum += size
			}
			if sum == n {
				return
			}
		}
		t.Fatalf("%d endpoints, want %d", sum, n)
	}
	total(many)
	if got := sizes(); len(got) != 2 || got[1] > 100 {
		t.Errorf("slices of %v", got)
	}
	writes := int64(0)
	for _, s := range slicesOf(t, ns, "many") {
		writes += s.Generation
	}
	t.Logf("%d VMs that became ready one after another took %d writes of slices", many, writes)

	// One VM goes while nobody looks.
	first.kill()
	gone := newVM(ns, "vm-007", 1, 1)
	hostSays(t, ns, "vm-007", v1alpha1.HostStopped, "", "")
	startScheduler(t, schedulerOptions{})
	total(many - 1)
	if strings.Contains(endpointsOf(t, ns, "many"), gone.Name+" ") {
		t.Errorf("%s is still there", gone.Name)
	}
}

// A probe that could not be made is refused, with the field and the remedy.
func TestProbesAreChecked(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	both := func(p *v1alpha1.ReadinessProbe) {
		p.TCPSocket, p.HTTPGet = &v1alpha1.TCPSocketProbe{Port: intstr.FromInt32(80)}, &v1alpha1.HTTPGetProbe{Port: intstr.FromInt32(80)}
	}
	tcp := func(port intstr.IntOrString) func(*v1alpha1.ReadinessProbe) {
		return func(p *v1alpha1.ReadinessProbe) { p.TCPSocket = &v1alpha1.TCPSocketProbe{Port: port} }
	}
	get := func(change func(*v1alpha1.HTTPGetProbe)) func(*v1alpha1.ReadinessProbe) {
		return func(p *v1alpha1.ReadinessProbe) {
			p.HTTPGet = &v1alpha1.HTTPGetProbe{Port: intstr.FromInt32(80)}
			change(p.HTTPGet)
		}
	}
	for want, probe := range map[string]func(*v1alpha1.ReadinessProbe){
		"": tcp(intstr.FromString("web")),
		"spec.readinessProbe: Invalid value: exactly one of tcpSocket and httpGet must be given":              both,
		"spec.readinessProbe.tcpSocket.port: Invalid value: 65536: must be a number from 1 to 65535":          tcp(intstr.FromInt32(65536)),
		`spec.readinessProbe.tcpSocket.port: Invalid value: "Web": must be a number from 1 to 65535`:          tcp(intstr.FromString("Web")),
		`spec.readinessProbe.tcpSocket.port: Invalid value: "other": spec.ports has no TCP port of this name`: tcp(intstr.FromString("other")),
		"spec.readinessProbe.httpGet.path: Invalid value":                                                     get(func(g *v1alpha1.HTTPGetProbe) { g.Path = "http://169.254.169.254/" }),
		"spec.readinessProbe.httpGet.httpHeaders[0].value: Invalid value": get(func(g *v1alpha1.HTTPGetProbe) {
			g.HTTPHeaders = []v1alpha1.HTTPHeader{{Name: "a", Value: "b\r\nHost: c"}}
		}),
		`spec.readinessProbe.interfaceName: Invalid value: "lan": spec.interfaces has no card of this name`: func(p *v1alpha1.ReadinessProbe) { tcp(intstr.FromInt32(80))(p); p.InterfaceName = "lan" },
		"spec.readinessProbe.timeoutSeconds: Invalid value":                                                 func(p *v1alpha1.ReadinessProbe) { tcp(intstr.FromInt32(80))(p); p.TimeoutSeconds = 61 },
	} {
		vm := newVM(ns, "probed", 1, 1, withCards("pods"), func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Ports = []v1alpha1.GuestPort{{Name: "web", Port: 8080}}
			vm.Spec.ReadinessProbe = &v1alpha1.ReadinessProbe{}
			probe(vm.Spec.ReadinessProbe)
		})
		err := suite.client.Create(t.Context(), vm, client.DryRunAll)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
