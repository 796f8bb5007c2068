package networkreach

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

// synced is an informer that has delivered all there is: nothing.
type synced struct{}

func (synced) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return synced{}, nil
}
func (synced) HasSynced() bool                     { return true }
func (synced) HasSyncedChecker() cache.DoneChecker { return nil }

type change = func(*v1alpha1.VirtualNetwork)

func virtualNetwork(name string, kind v1alpha1.NetworkType, changes ...change) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	n.Spec.Type = kind
	for _, f := range changes {
		f(n)
	}
	return n
}

func subnet(address string) change {
	return func(n *v1alpha1.VirtualNetwork) {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.NetworkSubnet{Address: address})
	}
}

func bridge(name string) change {
	return func(n *v1alpha1.VirtualNetwork) { n.Spec.BridgeName = name }
}

func vlan(n *v1alpha1.VirtualNetwork) { n.Spec.VLAN = &v1alpha1.NetworkVLAN{IDs: []int32{7}} }

func selects(n *v1alpha1.VirtualNetwork) { n.Spec.NodeSelector = map[string]string{"rack": "1"} }

func deleted(n *v1alpha1.VirtualNetwork) { now := metav1.Now(); n.DeletionTimestamp = &now }

func direct(devices ...string) change {
	return func(n *v1alpha1.VirtualNetwork) { n.Spec.Direct = &v1alpha1.DirectNetwork{Devices: devices} }
}

// hosts are a with bridge br0 and device eth1, in rack 1; b with br0 of Open vSwitch's;
// and c with neither, which has network other.
func hosts() []*v1alpha1.Hypervisor {
	a := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	a.Status.Interfaces = []v1alpha1.HostInterface{{Name: "br0", Type: v1alpha1.InterfaceBridge}, {Name: "eth1", Type: v1alpha1.InterfaceDevice}}
	b := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "b"}}
	b.Status.Interfaces = []v1alpha1.HostInterface{{Name: "br0", Type: v1alpha1.InterfaceOVSBridge}}
	c := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "c"}}
	c.Status.Networks = []v1alpha1.HostNetwork{{Namespace: "ns", Name: "other", UID: "uid-other", Active: true}}
	return []*v1alpha1.Hypervisor{a, b, c}
}

func on(t testing.TB, networks ...*v1alpha1.VirtualNetwork) *plugin {
	t.Helper()
	n := New(synced{})
	if _, err := n.Follow(cache.ResourceEventHandlerFuncs{}); err != nil {
		t.Fatal(err)
	}
	for _, vn := range networks {
		n.See(vn)
	}
	return &plugin{networks: n, fleet: fleettest.New(t, hosts()...)}
}

func nodeInfo(name string) fwk.NodeInfo {
	info := framework.NewNodeInfo()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if name == "a" {
		node.Labels = map[string]string{"rack": "1"}
	}
	info.SetNode(node)
	return info
}

// vm has a card on each of the networks; one as net/52:54:00:00:00:01 has an address
// of its own.
func vm(name string, cards ...string) *v1alpha1.VirtualMachine {
	out := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	out.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi")}
	for i, c := range cards {
		network, mac, _ := strings.Cut(c, "/")
		out.Spec.Interfaces = append(out.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: string(rune('a' + i)), NetworkName: network, MACAddress: mac})
	}
	return out
}

func pod(name string, cards ...string) *corev1.Pod {
	return podless.Project(vm(name, cards...), podless.Priority{})
}

func boundPod(name string, cards ...string) *corev1.Pod {
	m := vm(name, cards...)
	m.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
	return podless.Project(m, podless.Priority{})
}

func TestWhereAVMMayGo(t *testing.T) {
	other := virtualNetwork("other", v1alpha1.NetworkNAT, subnet("10.1.0.1/16"))
	for name, test := range map[string]struct {
		networks []*v1alpha1.VirtualNetwork
		cards    []string
		bound    *corev1.Pod
		// refused is why no host will do; hosts are those that do, and skipped says that
		// none is looked at.
		refused, hosts string
		skipped        bool
	}{
		"a VM without cards":                {skipped: true},
		"a network of libvirt's own":        {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkIsolated)}, cards: []string{"n"}, skipped: true},
		"a network that is not there":       {cards: []string{"n"}, refused: "there is no VirtualNetwork n in namespace ns: create it"},
		"one that is being deleted":         {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkIsolated, deleted)}, cards: []string{"n"}, refused: "VirtualNetwork n is being deleted"},
		"a bridge":                          {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkBridge, bridge("br0"))}, cards: []string{"n"}, hosts: "ab"},
		"a bridge with VLANs":               {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkBridge, bridge("br0"), vlan)}, cards: []string{"n"}, hosts: "b"},
		"a device that is no bridge":        {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkBridge, bridge("eth1"))}, cards: []string{"n"}, hosts: ""},
		"one of its devices":                {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkDirect, direct("eth9", "eth1"))}, cards: []string{"n"}, hosts: "a"},
		"a selector":                        {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkNAT, selects)}, cards: []string{"n"}, hosts: "a"},
		"a bridge to be made that is there": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkNAT, bridge("br0"))}, cards: []string{"n"}, hosts: "c"},
		"a subnet that a host has":          {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkNAT, subnet("10.1.7.1/24")), other}, cards: []string{"n"}, hosts: "ab"},
		"the network that has it":           {networks: []*v1alpha1.VirtualNetwork{other}, cards: []string{"other"}, hosts: "abc"},
		"two that no host can have": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkNAT, subnet("10.1.7.1/24")), other}, cards: []string{"n", "other"},
			refused: "its VirtualNetworks n and other have a subnet in common"},
		"all of its networks count": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkBridge, bridge("br0")), virtualNetwork("m", v1alpha1.NetworkDirect, direct("eth1"))}, cards: []string{"n", "m"}, hosts: "a"},
		"an address that a VM has": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkIsolated)}, cards: []string{"n/52:54:00:00:00:01"},
			bound: boundPod("web", "n/52:54:00:00:00:01"), refused: "the address 52:54:00:00:00:01 of its card a is that of a card of VirtualMachine web"},
		"an address that it has twice": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkIsolated)}, cards: []string{"n/52:54:00:00:00:01", "n/52:54:00:00:00:01"},
			refused: "two of its cards have the address 52:54:00:00:00:01"},
		"addresses that follow from VMs": {networks: []*v1alpha1.VirtualNetwork{virtualNetwork("n", v1alpha1.NetworkIsolated)}, cards: []string{"n"}, bound: boundPod("web", "n"), skipped: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := on(t, test.networks...)
			if test.bound != nil {
				p.networks.bound(test.bound)
			}
			cs, pod := framework.NewCycleState(), pod("guest", test.cards...)
			_, status := p.PreFilter(context.Background(), cs, pod, nil)
			switch {
			case test.skipped:
				if !status.IsSkip() {
					t.Errorf("not skipped: %v", status)
				}
				return
			case test.refused != "":
				if status.Code() != fwk.UnschedulableAndUnresolvable || !strings.Contains(status.Message(), test.refused) {
					t.Errorf("%v\nwant %q", status, test.refused)
				}
				return
			case !status.IsSuccess():
				t.Fatal(status)
			}
			got := ""
			for _, h := range []string{"a", "b", "c"} {
				if p.Filter(context.Background(), cs, pod, nodeInfo(h)).IsSuccess() {
					got += h
				}
			}
			if got != test.hosts {
				t.Errorf("hosts %q, want %q", got, test.hosts)
			}
		})
	}
}

func TestAnAddressIsGivenOnce(t *testing.T) {
	p := on(t, virtualNetwork("n", v1alpha1.NetworkIsolated))
	first, second := pod("first", "n/52:54:00:00:00:01"), pod("second", "n/52:54:00:00:00:01")
	ctx, cs := context.Background(), framework.NewCycleState()
	if s := p.Reserve(ctx, cs, first, "a"); !s.IsSuccess() {
		t.Fatal(s)
	}
	if s := p.Reserve(ctx, cs, second, "b"); s.Code() != fwk.Unschedulable || !strings.Contains(s.Message(), "VirtualMachine first") {
		t.Fatalf("two VMs are given one address: %v", s)
	}
	p.Unreserve(ctx, cs, first, "a")
	if s := p.Reserve(ctx, cs, second, "b"); !s.IsSuccess() || p.networks.Held() != 1 {
		t.Fatalf("%v, %d held", s, p.networks.Held())
	}
	// Bound, it has them by itself, and a late Unreserve takes nothing.
	bound := boundPod("second", "n/52:54:00:00:00:01")
	p.networks.bound(bound)
	p.Unreserve(ctx, cs, bound, "b")
	if _, name, ok := p.networks.Holder("52:54:00:00:00:01", "uid-first"); !ok || name != "second" || p.networks.Held() != 0 {
		t.Errorf("the address is %q's, %t", name, ok)
	}
	// It is given another one while it runs.
	p.networks.bound(boundPod("second", "n/52:54:00:00:00:02"))
	if _, _, ok := p.networks.Holder("52:54:00:00:00:01", "uid-first"); ok {
		t.Error("an address that is no more is held")
	}
	p.networks.mu.Lock()
	p.networks.give(bound.UID)
	p.networks.mu.Unlock()
	if len(p.networks.macs)+len(p.networks.holders) != 0 {
		t.Errorf("left: %v %v", p.networks.macs, p.networks.holders)
	}
}

func TestWhatWakesAVM(t *testing.T) {
	n := virtualNetwork("n", v1alpha1.NetworkBridge, bridge("br0"))
	p := on(t, n)
	waiting := pod("guest", "n/52:54:00:00:00:01")
	a, b := hosts()[0], hosts()[2]
	restated := n.DeepCopy()
	restated.Status.HostCount = 3
	moved := n.DeepCopy()
	moved.Spec.BridgeName = "br1"
	logger := klog.Background()
	for name, test := range map[string]struct {
		hint     fwk.QueueingHintFn
		old, now any
		want     fwk.QueueingHint
	}{
		"its network appears":                  {p.afterNetworkChanged, nil, n, fwk.Queue},
		"its network is said to be on hosts":   {p.afterNetworkChanged, n, restated, fwk.QueueSkip},
		"its network changes":                  {p.afterNetworkChanged, n, moved, fwk.Queue},
		"its network goes":                     {p.afterNetworkChanged, n, nil, fwk.Queue},
		"another network appears":              {p.afterNetworkChanged, nil, virtualNetwork("m", v1alpha1.NetworkNAT), fwk.QueueSkip},
		"a host comes to have the bridge":      {p.afterHostDescribed, &v1alpha1.Hypervisor{}, a, fwk.Queue},
		"a host that has it changes otherwise": {p.afterHostDescribed, a, a.DeepCopy(), fwk.QueueSkip},
		"a host without it changes":            {p.afterHostDescribed, &v1alpha1.Hypervisor{}, b, fwk.QueueSkip},
		"a Node appears":                       {p.afterNodeChanged, nil, &corev1.Node{}, fwk.Queue},
		"a Node's labels change":               {p.afterNodeChanged, &corev1.Node{}, &corev1.Node{}, fwk.QueueSkip},
		"a VM with its address leaves":         {p.afterVMLeft, boundPod("web", "n/52:54:00:00:00:01"), nil, fwk.Queue},
		"a VM with its address gives it up":    {p.afterVMLeft, boundPod("web", "n/52:54:00:00:00:01"), boundPod("web", "n/52:54:00:00:00:02"), fwk.Queue},
		"a VM with another leaves":             {p.afterVMLeft, boundPod("web", "n/52:54:00:00:00:02"), nil, fwk.QueueSkip},
		"it has other cards":                   {p.afterVMChanged, pod("guest", "m"), waiting, fwk.Queue},
		"it has the same cards":                {p.afterVMChanged, waiting, waiting, fwk.QueueSkip},
	} {
		if got, err := test.hint(logger, waiting, test.old, test.now); err != nil || got != test.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
}

// A VM without cards costs nothing, and comparing one with a host nothing either.
func TestWhatItCosts(t *testing.T) {
	p := on(t, virtualNetwork("n", v1alpha1.NetworkBridge, bridge("br0")))
	ctx, plain := context.Background(), pod("plain")
	cs := framework.NewCycleState()
	skip := testing.AllocsPerRun(100, func() { _, _ = podless.InterfacesOf(plain) })
	sign := testing.AllocsPerRun(100, func() { _, _ = p.SignPod(ctx, plain) })
	unreserve := testing.AllocsPerRun(100, func() { p.Unreserve(ctx, cs, plain, "a") })
	reserve := testing.AllocsPerRun(100, func() { _ = p.Reserve(ctx, cs, plain, "a") })
	if skip+sign+unreserve+reserve != 0 {
		t.Errorf("a VM without cards: %v %v %v %v allocations", skip, sign, unreserve, reserve)
	}
	guest, host := pod("guest", "n"), nodeInfo("a")
	if _, s := p.PreFilter(ctx, cs, guest, nil); !s.IsSuccess() {
		t.Fatal(s)
	}
	if got := testing.AllocsPerRun(100, func() { _ = p.Filter(ctx, cs, guest, host) }); got != 0 {
		t.Errorf("Filter: %v allocations", got)
	}
}
