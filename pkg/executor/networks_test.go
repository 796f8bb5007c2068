package executor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func lanNetwork(name string) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("0b1c2d3e-4f50-6172-8394-" + name), Finalizers: []string{v1alpha1.NetworkFinalizer}}}
	n.Spec.Type = v1alpha1.NetworkIsolated
	return n
}

func withCards(names ...string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Interfaces = nil
		for _, name := range names {
			vm.Spec.Interfaces = append(vm.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: name, NetworkName: name})
		}
	}
}

// networkTurns gives the networks their turns, as their queue does.
func (s *stage) networkTurns(names ...string) {
	s.t.Helper()
	if err := s.agent.networks.LookNow(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		if _, err := s.agent.networks.Turn(context.Background(), types.NamespacedName{Namespace: "default", Name: name}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func pendingCards(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionInterfacesPending)
	if c == nil {
		return ""
	}
	return c.Reason + ": " + c.Message
}

func TestAGuestWaitsForItsNetworks(t *testing.T) {
	s := newStage(t, vmtest.Bound(withCards("lan")))
	s.networkTurns("lan")
	s.mustTurn()
	if len(s.host.done) > 0 || s.said() != nil {
		t.Fatalf("done %v, said %+v", s.host.done, s.said())
	}
	s.clock.Step(plan.NetworksGrace)
	s.mustTurn()
	if h := s.said(); h == nil || h.State != v1alpha1.HostStopped || h.Reason != v1alpha1.ReasonWaitingForNetworks || !strings.Contains(h.Message, "there is no VirtualNetwork lan: create it") {
		t.Fatalf("said %+v", h)
	}
	lan := lanNetwork("lan")
	if err := s.api.Create(context.Background(), lan); err != nil {
		t.Fatal(err)
	}
	s.networkTurns("lan")
	s.mustTurn()
	vm := s.vm()
	if vm.Status.Host.State != v1alpha1.HostRunning {
		t.Fatalf("said %+v", vm.Status.Host)
	}
	want := []v1alpha1.InterfaceStatus{{Name: "lan", NetworkName: "lan", MACAddress: vm.MACOf(&vm.Spec.Interfaces[0])}}
	if diff := cmp.Diff(want, vm.Status.Interfaces); diff != "" {
		t.Errorf("its cards: %s", diff)
	}
	if _, active := s.host.Has(lan.LibvirtName()); !active || !strings.Contains(s.host.documents[0], lan.LibvirtName()) {
		t.Errorf("networks %s", s.host.Names())
	}
	// It stays while the guest has it, whatever becomes of the object.
	if err := s.api.Delete(context.Background(), lan); err != nil {
		t.Fatal(err)
	}
	s.networkTurns("lan")
	if _, active := s.host.Has(lan.LibvirtName()); !active {
		t.Error("the network was taken from under the guest")
	}
	interfaces, networks, known := s.agent.networks.Report()
	if !known || len(interfaces) != 0 || len(networks) != 1 || networks[0].Name != "lan" || !networks[0].Active || !strings.Contains(networks[0].Message, "it is being deleted; it is kept until VirtualMachine guest has no card on it") {
		t.Errorf("the host says %+v", networks)
	}
}

func TestAHostWithoutTheBridgeGivesTheVMBack(t *testing.T) {
	lan := lanNetwork("lan")
	lan.Spec.Type, lan.Spec.BridgeName = v1alpha1.NetworkBridge, "br0"
	s := newStage(t, vmtest.Bound(withCards("lan")), lan)
	if err := s.api.Update(context.Background(), privileged(t, s)); err != nil {
		t.Fatal(err)
	}
	s.networkTurns("lan")
	s.mustTurn()
	if h := s.said(); h == nil || h.State != v1alpha1.HostRejected || h.Reason != v1alpha1.ReasonHostUnfit || !strings.Contains(h.Message, "no bridge br0") {
		t.Errorf("said %+v", h)
	}
	if slices.Contains(s.host.done, "define") || s.host.Names() != "" {
		t.Errorf("done %v, networks %s", s.host.done, s.host.Names())
	}
}

func TestARestrictedNamespaceHasNoBridgeOfTheHosts(t *testing.T) {
	lan := lanNetwork("lan")
	lan.Spec.Type, lan.Spec.BridgeName = v1alpha1.NetworkBridge, "br0"
	s := newStage(t, vmtest.Bound(withCards("lan")), lan)
	s.host.Interfaces = []libvirt.HostInterface{{Name: "br0", Bridge: true}}
	s.networkTurns("lan")
	s.clock.Step(plan.NetworksGrace)
	s.mustTurn()
	s.clock.Step(plan.NetworksGrace)
	s.mustTurn()
	if h := s.said(); h == nil || h.Reason != v1alpha1.ReasonWaitingForNetworks || !strings.Contains(h.Message, "not allowed at policy level restricted") || s.host.Names() != "" {
		t.Errorf("said %+v, networks %s", h, s.host.Names())
	}
}

// running is a stage whose guest runs with the cards, on networks that are all there.
func running(t *testing.T, cards ...string) *stage {
	t.Helper()
	s := newStage(t, vmtest.Bound(withCards(cards...)), lanNetwork("lan"), lanNetwork("dmz"))
	s.networkTurns(cards...)
	s.mustTurn()
	if h := s.said(); h == nil || h.State != v1alpha1.HostRunning {
		t.Fatalf("said %+v", h)
	}
	return s
}

func (s *stage) setCards(names ...string) {
	s.edit(func(vm *v1alpha1.VirtualMachine) { withCards(names...)(vm); vm.Generation++ })
}

func (s *stage) cardNames() (out []string) {
	for _, c := range s.vm().Status.Interfaces {
		out = append(out, c.Name)
	}
	return out
}

func TestCardsComeAndGoWhileTheGuestRuns(t *testing.T) {
	s := running(t, "lan")
	s.setCards("lan", "dmz")
	s.mustTurn()
	s.networkTurns("dmz")
	s.mustTurn()
	if !slices.Equal(s.cardNames(), []string{"lan", "dmz"}) || meta.IsStatusConditionTrue(s.vm().Status.Conditions, v1alpha1.ConditionRestartRequired) {
		t.Fatalf("cards %v, %+v", s.cardNames(), s.vm().Status.Conditions)
	}
	s.setCards("dmz")
	s.mustTurn()
	if !slices.Equal(s.cardNames(), []string{"dmz"}) || pendingCards(s.vm()) != "" {
		t.Fatalf("cards %v, %s", s.cardNames(), pendingCards(s.vm()))
	}
	s.networkTurns("lan", "dmz")
	if s.host.Names() != lanNetwork("dmz").LibvirtName() {
		t.Errorf("networks %s", s.host.Names())
	}
	if got := strings.Join(s.host.done, " "); got != "define start attach card mark detach card mark" {
		t.Errorf("done %s", got)
	}
	// An executor that begins anew finds nothing to do.
	s.restart()
	s.mustTurn()
	if len(s.host.done) != 6 {
		t.Errorf("done %v", s.host.done)
	}
}

func TestACardThatIsNotGivenUp(t *testing.T) {
	s := running(t, "lan", "dmz")
	s.host.cards.keeps = true
	s.setCards("lan")
	s.mustTurn()
	if pendingCards(s.vm()) != "" {
		t.Errorf("said at once: %s", pendingCards(s.vm()))
	}
	s.clock.Step(plan.PlugGrace)
	s.mustTurn()
	if got := pendingCards(s.vm()); !strings.HasPrefix(got, "WaitingForGuest: the guest was asked to give card dmz up and has it still") {
		t.Errorf("said %q", got)
	}
	asked := len(s.host.done)
	s.clock.Step(time.Second)
	s.mustTurn()
	if len(s.host.done) != asked {
		t.Error("it is asked over and over")
	}
	s.clock.Step(plan.FirstUnplug)
	s.host.cards.keeps = false
	s.mustTurn()
	if got := pendingCards(s.vm()); got != "" || !slices.Equal(s.cardNames(), []string{"lan"}) {
		t.Errorf("said %q, cards %v", got, s.cardNames())
	}
}

func TestACardThatCannotBePluggedIn(t *testing.T) {
	for name, test := range map[string]struct {
		err           error
		pending       string
		needsARestart bool
	}{
		"libvirt refuses":            {errors.New("no more available PCI slots"), "HotPlugFailed: plugging card dmz in failed and is tried again: no more available PCI slots", false},
		"this libvirt cannot at all": {libvirt.ErrUnsupported, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(t, "lan")
			s.host.cards.attachErr = test.err
			s.setCards("lan", "dmz")
			s.mustTurn()
			s.networkTurns("dmz")
			s.mustTurn()
			s.clock.Step(plan.PlugGrace)
			s.mustTurn()
			vm := s.vm()
			if got := pendingCards(vm); got != test.pending {
				t.Errorf("said %q", got)
			}
			if got := meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionRestartRequired); got != test.needsARestart {
				t.Errorf("a restart is required: %t", got)
			}
			s.host.cards.attachErr = nil
			s.clock.Step(plan.LastBackoff)
			s.mustTurn()
			if !slices.Equal(s.cardNames(), []string{"lan", "dmz"}) || pendingCards(s.vm()) != "" {
				t.Errorf("cards %v, %s", s.cardNames(), pendingCards(s.vm()))
			}
		})
	}
}

func TestAddressesThatAreSeen(t *testing.T) {
	s := running(t, "lan")
	vm := s.vm()
	mac := vm.Status.Interfaces[0].MACAddress
	s.host.cards.heard = map[string][]string{mac: {"192.168.9.7", "fe80::1", "no address"}}
	for _, d := range s.agent.registry.withCards() {
		if !s.agent.addresses.due(&d, s.clock.Now()) {
			t.Error("the guest is not asked about")
		}
		s.agent.askAddresses(context.Background(), &d)
		if s.agent.addresses.due(&d, s.clock.Now().Add(addressTick)) {
			t.Error("it is asked about over and over, although all is known")
		}
	}
	s.mustTurn()
	vm = s.vm()
	if !slices.Equal(vm.Status.Interfaces[0].Addresses, []string{"192.168.9.7", "fe80::1"}) || vm.Status.Guest == nil || vm.Status.Guest.Addresses != "192.168.9.7" {
		t.Errorf("cards %+v, guest %+v", vm.Status.Interfaces, vm.Status.Guest)
	}
	writes := len(s.writes)
	s.mustTurn()
	if len(s.writes) != writes {
		t.Errorf("the same is written again: %v", s.writes[writes:])
	}
	// With the guest they go.
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped })
	s.mustTurn()
	s.mustTurn()
	if vm = s.vm(); len(vm.Status.Interfaces) > 0 || vm.Status.Guest != nil {
		t.Errorf("cards %+v, guest %+v", vm.Status.Interfaces, vm.Status.Guest)
	}
}

// privileged is the namespace of the tests' VMs with its level raised.
func privileged(t *testing.T, s *stage) client.Object {
	t.Helper()
	ns := &corev1.Namespace{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Name: "default"}, ns); err != nil {
		t.Fatal(err)
	}
	ns.Labels = map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)}
	return ns
}

// cloud-init by itself asks for an address on one card alone.
func TestTheSeedNamesTheCards(t *testing.T) {
	s := seedStage(t, vmtest.Bound(withCards("lan", "dmz"), func(vm *v1alpha1.VirtualMachine) { vm.Spec.CloudInit = &v1alpha1.CloudInit{} }), lanNetwork("lan"), lanNetwork("dmz"))
	s.networkTurns("lan", "dmz")
	s.mustTurn()
	told, vm := s.toldTo("network-config"), s.vm()
	for i := range vm.Spec.Interfaces {
		if mac := vm.MACOf(&vm.Spec.Interfaces[i]); !strings.Contains(told, mac) {
			t.Errorf("%s is not in %s", mac, told)
		}
	}
}
