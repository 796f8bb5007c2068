package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func newNetwork(ns, name string, spec v1alpha1.VirtualNetworkSpec) *v1alpha1.VirtualNetwork {
	return &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: spec}
}

// withCards gives a VM a card on each network; one as lan/52:54:00:00:00:01 has an
// address of its own.
func withCards(networks ...string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		for i, n := range networks {
			name, mac, _ := strings.Cut(n, "/")
			vm.Spec.Interfaces = append(vm.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: fmt.Sprintf("card%d", i), NetworkName: name, MACAddress: mac})
		}
	}
}

// waitNetwork waits until the network's condition begins with says, such as "True
// NetworkReady: "; empty stands for one that is gone.
func waitNetwork(t *testing.T, ns, name, says string) *v1alpha1.VirtualNetwork {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		n := &v1alpha1.VirtualNetwork{}
		err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, n)
		switch {
		case apierrors.IsNotFound(err) && says == "":
			return nil
		case err != nil:
			t.Fatal(err)
		}
		last = "no condition"
		if c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionNetworkReady); c != nil {
			last = fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
		if says != "" && strings.HasPrefix(last, says) {
			return n
		}
	}
	t.Fatalf("VirtualNetwork %s/%s says %q, want %q", ns, name, last, says)
	return nil
}

// has are the host's libvirt networks.
func (h *embeddedHost) has(t *testing.T) string {
	t.Helper()
	all, err := h.libvirt.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range all {
		out = append(out, fmt.Sprintf("%s on %s, active %t", n.Name, n.Bridge, n.Active))
	}
	return strings.Join(out, "; ")
}

// Networks on two hosts, of which one has a bridge: from admission to their end.
func TestNetworks(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
	with, without := ns+"-bridged", ns+"-plain"
	bridged := embed(t, ns, with, libvirt.Simulation{CPUs: 8, Memory: 16 << 30, Interfaces: []libvirt.HostInterface{{Name: "br0", Bridge: true}, {Name: "eth0"}}})
	plain := embed(t, ns, without, libvirt.Simulation{CPUs: 8, Memory: 16 << 30, Interfaces: []libvirt.HostInterface{{Name: "eth0"}}})
	t.Cleanup(func() {
		ctx := context.Background()
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualNetwork{}, client.InNamespace(ns))
	})
	make := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	waitWebhook(t)

	// A VM waits for its network, and goes where its bridge is.
	make(newVM(ns, "web", 1, 1, withCards("lan")))
	waitVM(t, ns, "web", waiting("Unschedulable", "there is no VirtualNetwork lan in namespace "+ns+": create it"))
	make(newNetwork(ns, "lan", v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkBridge, BridgeName: "br0"}))
	vm := waitVM(t, ns, "web", stateIs("Running"))
	if vm.Status.Placement.NodeName != with {
		t.Errorf("the VM is on %s", vm.Status.Placement.NodeName)
	}
	lan := waitNetwork(t, ns, "lan", "True NetworkReady")
	if len(vm.Status.Interfaces) != 1 || vm.Status.Interfaces[0].MACAddress != vm.MACOf(&vm.Spec.Interfaces[0]) || lan.Status.HostCount != 1 || lan.Status.Hosts[0].NodeName != with {
		t.Errorf("VM: %+v, network: %+v", vm.Status.Interfaces, lan.Status)
	}
	if got, want := bridged.has(t), lan.LibvirtName()+" on br0, active true"; got != want || plain.has(t) != "" {
		t.Errorf("the hosts have %q and %q, want %q on the one", got, plain.has(t), want)
	}

	// A bridge that no host has.
	make(newNetwork(ns, "far", v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkBridge, BridgeName: "br9"}))
	make(newVM(ns, "far", 1, 1, withCards("far")))
	waitVM(t, ns, "far", waiting("Unschedulable", "have no bridge br9, as VirtualNetwork far needs"))

	// An address is given once: who asks for it later is refused at once.
	make(newVM(ns, "one", 1, 1, withCards("lan/52:54:00:12:34:56")))
	waitVM(t, ns, "one", stateIs("Running"))
	err := suite.client.Create(t.Context(), newVM(ns, "two", 1, 1, withCards("lan/52:54:00:12:34:56")))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.interfaces[0].macAddress: Invalid value: "52:54:00:12:34:56": is the address of a card of VirtualMachine one`) {
		t.Errorf("an address twice: %v", err)
	}

	// One that is deleted in use is kept, and says by whom; a new VM is not placed on it.
	if err := suite.client.Delete(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	waitNetwork(t, ns, "lan", "False InUse: it is deleted when no VirtualMachine with a host has a card on it: leave it out of spec.interfaces of one, web")
	make(newVM(ns, "late", 1, 1, withCards("lan")))
	waitVM(t, ns, "late", waiting("Unschedulable", "VirtualNetwork lan is being deleted"))
	for _, name := range []string{"web", "one", "late", "far"} {
		if err := suite.client.Delete(t.Context(), newVM(ns, name, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	waitNetwork(t, ns, "lan", "")
	for deadline := time.Now().Add(eventually); bridged.has(t) != ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the host still has %s", bridged.has(t))
		}
	}
}

func TestWhatNetworksMayBe(t *testing.T) {
	ns := namespace(t, nil)
	free := namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
	for name, test := range map[string]struct{ spec, restricted, privileged string }{
		"NAT":                       {`{type: nat, subnets: [{address: 192.168.122.1/24}]}`, "", ""},
		"isolated":                  {`{type: isolated}`, "", ""},
		"a bridge of the host":      {`{type: bridge, bridgeName: br0}`, "spec.type bridge is not allowed at policy level restricted", ""},
		"a device of the host":      {`{type: direct, direct: {devices: [eth0]}}`, "spec.type direct is not allowed at policy level restricted", ""},
		"routed":                    {`{type: routed, subnets: [{address: 192.168.122.1/24}]}`, "spec.type routed is not allowed at policy level restricted", ""},
		"a public subnet":           {`{type: nat, subnets: [{address: 203.0.113.1/24}]}`, "spec.subnets[].address is not allowed at policy level restricted", ""},
		"loopback":                  {`{type: isolated, subnets: [{address: 127.0.0.1/8}]}`, "spec.subnets[].address is not allowed at policy level restricted", ""},
		"more than private":         {`{type: nat, subnets: [{address: 192.168.0.1/15}]}`, "spec.subnets[].address is not allowed at policy level restricted", ""},
		"a private one of IPv6":     {`{type: nat, subnets: [{address: "fd00:db8::1/64"}]}`, "", ""},
		"by a device":               {`{type: nat, device: eth0, subnets: [{address: 192.168.122.1/24}]}`, "spec.device is not allowed at policy level restricted", ""},
		"a bridge's name":           {`{type: nat, bridgeName: br-lan, subnets: [{address: 192.168.122.1/24}]}`, "spec.bridgeName is not allowed at policy level restricted", ""},
		"libvirt's own":             {`{type: nat, network: {}}`, "spec.network is not allowed at policy level restricted", ""},
		"a name that no bridge has": {`{type: nat, bridgeName: "br/0"}`, "bridgeName", "spec.bridgeName must be a name that an interface can have"},
		"a name that is too long":   {`{type: nat, bridgeName: br0123456789abcdef}`, "may not be more than 15", "may not be more than 15"},
		"an address outside":        {`{type: nat, subnets: [{address: 10.0.0.1/24, dhcp: {ranges: [{start: 10.0.1.2, end: 10.0.1.9}]}}]}`, "must be addresses of the subnet", "must be addresses of the subnet"},
		"a VLAN of libvirt's":       {`{type: nat, vlan: {ids: [4]}}`, "spec.vlan is for type bridge", "spec.vlan is for type bridge"},
		"NAT of no address":         {`{type: nat}`, "spec.subnets: type nat needs one", "spec.subnets: type nat needs one"},
		"the subnet's address":      {`{type: nat, subnets: [{address: 192.168.122.0/24}]}`, "not that of the subnet", "not that of the subnet"},
		"two hosts on a wire":       {`{type: isolated, subnets: [{address: 192.168.122.0/31}]}`, "", ""},
		"an anycast address":        {`{type: isolated, subnets: [{address: "fd00:db8::/64"}]}`, "", ""},
		"an address twice":          {`{type: isolated, subnets: [{address: 192.168.122.1/24}, {address: 192.168.122.1/25}]}`, "the hosts have an address once", "the hosts have an address once"},
		"DHCP twice":                {`{type: isolated, subnets: [{address: 192.168.122.1/24, dhcp: {}}, {address: 192.168.123.1/24, dhcp: {}}]}`, "one subnet of IPv4 and one of IPv6", "one subnet of IPv4 and one of IPv6"},
		"DHCP of both families":     {`{type: isolated, subnets: [{address: 192.168.122.1/24, dhcp: {}}, {address: "fd00:db8::1/64", dhcp: {ranges: [{start: "fd00:db8::9", end: "fd00:db8::a"}]}}]}`, "", ""},
		"a range of one":            {`{type: isolated, subnets: [{address: 192.168.0.1/16, dhcp: {ranges: [{start: 192.168.9.9, end: 192.168.9.9}]}}]}`, "", ""},
		"a range over octets":       {`{type: isolated, subnets: [{address: 192.168.0.1/16, dhcp: {ranges: [{start: 192.168.9.99, end: 192.168.10.1}]}}]}`, "", ""},
		"a range backwards":         {`{type: isolated, subnets: [{address: 192.168.0.1/16, dhcp: {ranges: [{start: 192.168.10.1, end: 192.168.9.99}]}}]}`, "start must not be after end", "start must not be after end"},
		"a guest that nobody knows": {`{type: isolated, subnets: [{address: 192.168.122.1/24, dhcp: {hosts: [{ip: 192.168.122.9}]}}]}`, "needs mac, such as", "needs mac, such as"},
		"a guest by no address":     {`{type: isolated, subnets: [{address: 192.168.122.1/24, dhcp: {hosts: [{mac: "52:54:00:12:34", ip: 192.168.122.9}]}}]}`, "needs mac, such as", "needs mac, such as"},
		"a guest by its name":       {`{type: isolated, subnets: [{address: 192.168.122.1/24, dhcp: {hosts: [{name: web, ip: 192.168.122.9}]}}]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for in, want := range map[string]string{ns: test.restricted, free: test.privileged} {
				obj := toCome(t, "VirtualNetwork", test.spec)
				obj.SetNamespace(in)
				err := suite.client.Create(t.Context(), obj, client.DryRunAll)
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%v\nwant %q", err, want)
				}
			}
		})
	}
	long := newNetwork(ns, strings.Repeat("n", 64), v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkNAT})
	if err := suite.client.Create(t.Context(), long, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "metadata.name must be at most 63 characters") {
		t.Errorf("a long name: %v", err)
	}
}

// An executor may read networks, and writes none.
func TestAnExecutorWritesNoNetworks(t *testing.T) {
	ns := namespace(t, nil)
	n := newNetwork(ns, "lan", v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkIsolated})
	create(t, n)
	cfg, err := suite.plane.as("domus:executor:some-host", "domus:executors")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(n), n); err != nil {
		t.Errorf("reading: %v", err)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null},"status":{"hostCount":3}}`))
	for what, err := range map[string]error{
		"the object": c.Patch(t.Context(), n.DeepCopy(), patch), "its status": c.Status().Patch(t.Context(), n.DeepCopy(), patch), "deleting": c.Delete(t.Context(), n.DeepCopy()),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
