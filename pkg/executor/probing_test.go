package executor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/probes"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// oracle answers probes, and notes them.
type oracle struct {
	failure string
	asked   []string
}

func (o *oracle) Probe(_ context.Context, t probes.Target, timeout time.Duration) string {
	o.asked = append(o.asked, fmt.Sprintf("%s by %s within %s", netip.AddrPortFrom(t.Address, t.Port), t.Device, timeout))
	return o.failure
}

func serving(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionServing)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// probing is a stage whose guest runs with a card on lan and is probed by the oracle.
func probing(t *testing.T, failure string) (*stage, *oracle) {
	t.Helper()
	lan := lanNetwork("lan")
	lan.Spec.Subnets = []v1alpha1.NetworkSubnet{{Address: "192.168.9.1/24"}}
	s := newStage(t, vmtest.Bound(withCards("lan"), func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Ports = []v1alpha1.GuestPort{{Name: "web", Protocol: corev1.ProtocolTCP, Port: 8080}}
		vm.Spec.ReadinessProbe = &v1alpha1.ReadinessProbe{FailureThreshold: 1, TimeoutSeconds: 2, HTTPGet: &v1alpha1.HTTPGetProbe{Port: intstr.FromString("web")}}
	}), lan)
	o := &oracle{failure: failure}
	s.agent.probes = probes.New("test", o, s.clock, s.agent.queue.Add)
	s.networkTurns("lan")
	s.mustTurn()
	return s, o
}

// heard has the host hear of the guest's addresses.
func (s *stage) heard(addresses ...string) {
	s.t.Helper()
	vm := s.vm()
	s.host.cards.heard = map[string][]string{vm.MACOf(&vm.Spec.Interfaces[0]): addresses}
	for _, d := range s.agent.registry.withCards() {
		s.agent.addresses.due(&d, s.clock.Now())
		s.agent.askAddresses(context.Background(), &d)
	}
	s.mustTurn() // which reports them
	s.mustTurn() // which has them probed
}

func (s *stage) probed() {
	s.t.Helper()
	s.clock.Step(11 * time.Second)
	s.agent.probes.Turn(context.Background(), guestKey)
	s.mustTurn()
}

func TestAGuestIsProbed(t *testing.T) {
	s, o := probing(t, "refused")
	if got := serving(s.vm()); !strings.HasPrefix(got, "False NoProbeAddress: the guest is probed when it has an address") {
		t.Errorf("without an address it says %q", got)
	}
	// The host's own address on the bridge, and one beyond the network, are the guest's
	// word against ours.
	s.heard("10.0.0.1", "192.168.9.1")
	if got := serving(s.vm()); !strings.HasPrefix(got, "False NoProbeAddress") || len(o.asked) > 0 {
		t.Errorf("it says %q; asked %v", got, o.asked)
	}
	s.heard("10.0.0.1", "192.168.9.40")
	if got := serving(s.vm()); !strings.HasPrefix(got, "False ProbePending") {
		t.Errorf("before the first probe it says %q", got)
	}
	s.probed()
	if got := serving(s.vm()); got != "False ProbeFailed: spec.readinessProbe: refused" {
		t.Errorf("it says %q", got)
	}
	if want := []string{"192.168.9.40:8080 by " + lanNetwork("lan").Bridge() + " within 2s"}; cmp.Diff(want, o.asked) != "" {
		t.Errorf("asked %v, want %v", o.asked, want)
	}
	if r := s.vm().Status.Reason; r != v1alpha1.ReasonProbeFailed || s.vm().Status.Phase != v1alpha1.PhaseRunning {
		t.Errorf("kubectl shows %s %s", s.vm().Status.Phase, r)
	}
	o.failure = ""
	s.probed()
	if got := serving(s.vm()); got != "True ProbeSucceeded: " || s.vm().Status.Reason != "" {
		t.Errorf("it says %q, and %q", got, s.vm().Status.Reason)
	}
	writes := len(s.writes)
	for range 5 {
		s.probed()
	}
	if len(s.writes) != writes {
		t.Errorf("wrote for nothing: %v", s.writes[writes:])
	}

	// A new process has found out nothing, and says nothing else.
	s.restart()
	s.agent.probes = probes.New("test", o, s.clock, s.agent.queue.Add)
	s.mustTurn()
	if got := serving(s.vm()); got != "True ProbeSucceeded: " || len(s.writes) != writes {
		t.Errorf("after a restart of vm-executor it says %q", got)
	}
	// A guest that stands still is as it was, and no probe is made.
	asked := len(o.asked)
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerPaused; vm.Generation++ })
	s.mustTurn()
	s.probed()
	if got := serving(s.vm()); got != "True ProbeSucceeded: " || len(o.asked) != asked {
		t.Errorf("paused it says %q; asked %d times", got, len(o.asked)-asked)
	}
	// The probe goes, and its result with it.
	s.edit(func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.PowerState, vm.Spec.ReadinessProbe = v1alpha1.PowerRunning, nil
		vm.Generation++
	})
	s.mustTurn()
	if got := serving(s.vm()); got != "" || meta.FindStatusCondition(s.vm().Status.Conditions, v1alpha1.ConditionRestartRequired) != nil {
		t.Errorf("without a probe it says %q, %+v", got, s.vm().Status.Conditions)
	}
}

func TestWhatAGuestServedGoesWithIt(t *testing.T) {
	s, _ := probing(t, "")
	s.heard("192.168.9.40")
	s.probed()
	if got := serving(s.vm()); !strings.HasPrefix(got, "True") {
		t.Fatalf("it says %q", got)
	}
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped; vm.Generation++ })
	for range 3 {
		s.mustTurn()
		s.clock.Step(time.Minute)
	}
	if got := serving(s.vm()); got != "" || s.said().State != v1alpha1.HostStopped {
		t.Errorf("it says %q, and is %s", got, s.said().State)
	}
}

// What a plugin gave a card is told from what the guest says.
func TestGivenAddresses(t *testing.T) {
	x := newCNITest()
	vm, card, _ := cniVM()
	d := &ownership.Observed{Owned: true, Ownership: convert.Ownership{Owner: vm.Owner()}, Domain: libvirt.Domain{Cards: []libvirt.Card{{Alias: convert.CardAlias(card.Name), MAC: vm.MACOf(card)}}}}
	x.host.cards[cniCard{vm.UID, card.Name}] = cni.Attachment{UID: vm.UID, Card: card.Name, MAC: vm.MACOf(card)}
	in := plan.Situation{VM: vm, Domain: d, Assigned: x.given(context.Background(), d), Addresses: map[string][]string{vm.MACOf(card): {"10.96.0.1"}}}
	got := plan.CardsOf(in, nil, nil)
	if len(got) != 1 || cmp.Diff(got[0].Assigned, []string{"10.1.2.3"}) != "" || cmp.Diff(got[0].Addresses, []string{"10.1.2.3", "10.96.0.1"}) != "" {
		t.Errorf("given %+v", got)
	}
	// What cannot be told now stays as it was.
	in.Assigned = nil
	if again := plan.CardsOf(in, nil, got); cmp.Diff(again[0].Assigned, []string{"10.1.2.3"}) != "" {
		t.Errorf("then %+v", again)
	}
	// Of an address of IPv6 the guest is not told: it is the guest's when it has taken it,
	// and from then on.
	in.Assigned = map[string][]string{card.Name: {"10.1.2.3", "fd00::3"}}
	got = plan.CardsOf(in, nil, got)
	if cmp.Diff(got[0].Assigned, []string{"10.1.2.3"}) != "" || !slices.Contains(got[0].Addresses, "fd00::3") {
		t.Errorf("of two families: %+v", got)
	}
	says := &v1alpha1.GuestStatus{Interfaces: []v1alpha1.GuestInterface{{MAC: vm.MACOf(card), Addresses: []string{"10.1.2.3", "fd00:0::3"}}}}
	for _, guest := range []*v1alpha1.GuestStatus{says, nil} {
		if got = plan.CardsOf(in, guest, got); cmp.Diff(got[0].Assigned, []string{"10.1.2.3", "fd00::3"}) != "" {
			t.Errorf("taken: %+v", got)
		}
	}
	// A record of another card of the name is nothing of this one.
	d.Cards[0].MAC = "52:54:00:00:00:99"
	if other := x.given(context.Background(), d); len(other[card.Name]) > 0 {
		t.Errorf("another card has %v", other)
	}
}

func TestWhatIsProbed(t *testing.T) {
	networks := map[string]*v1alpha1.VirtualNetwork{}
	add := func(name string, kind v1alpha1.NetworkType, subnets ...string) {
		n := lanNetwork(name)
		n.Spec.Type = kind
		for _, s := range subnets {
			n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.NetworkSubnet{Address: s})
		}
		networks[name] = n
	}
	add("lan", v1alpha1.NetworkIsolated, "192.168.9.1/24")
	add("pods", v1alpha1.NetworkCNI)
	add("tap", v1alpha1.NetworkDirect)
	status := map[string]v1alpha1.InterfaceStatus{
		"lan":  {Addresses: []string{"192.168.9.40"}},
		"pods": {Addresses: []string{"10.96.0.1", "10.244.0.9"}, Assigned: []string{"10.244.0.9"}},
		"tap":  {Addresses: []string{"10.0.0.9"}},
	}
	for name, test := range map[string]struct {
		cards  []string
		change func(*v1alpha1.VirtualMachine)
		want   string
	}{
		"the card that Services lead to":     {cards: []string{"lan", "pods"}, want: "10.244.0.9:80 by "},
		"a card that is named":               {cards: []string{"lan", "pods"}, change: func(vm *v1alpha1.VirtualMachine) { vm.Spec.ReadinessProbe.InterfaceName = "lan" }, want: "192.168.9.40:80 by " + networks["lan"].Bridge()},
		"a device that the host cannot pass": {cards: []string{"tap"}, want: "the guest cannot be probed: card tap is on VirtualNetwork tap of type direct"},
		"a network that there is not":        {cards: []string{"gone"}, want: "the guest cannot be probed: it has no card on a VirtualNetwork that there is"},
		"a port that has no number":          {cards: []string{"lan"}, change: func(vm *v1alpha1.VirtualMachine) { vm.Spec.ReadinessProbe.TCPSocket.Port = intstr.FromString("web") }, want: "spec.readinessProbe names a port that is not in spec.ports"},
	} {
		t.Run(name, func(t *testing.T) {
			vm := vmtest.Bound(withCards(test.cards...))
			vm.Spec.ReadinessProbe = &v1alpha1.ReadinessProbe{TCPSocket: &v1alpha1.TCPSocketProbe{Port: intstr.FromInt32(80)}}
			for _, c := range test.cards {
				card := status[c]
				card.Name, card.NetworkName = c, c
				vm.Status.Interfaces = append(vm.Status.Interfaces, card)
			}
			if test.change != nil {
				test.change(vm)
			}
			target := probeOf(vm, 1, func(name string) *v1alpha1.VirtualNetwork { return networks[name] }, vmtest.Now)
			got := target.Problem
			if got == "" {
				got = fmt.Sprintf("%s by %s", netip.AddrPortFrom(target.Address, target.Port), target.Device)
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
