package networks

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// all is a watch of networks.
type all map[string]*v1alpha1.VirtualNetwork

func (a all) Network(_ context.Context, key types.NamespacedName) *v1alpha1.VirtualNetwork {
	return a[key.Name]
}

// connector gives cards a tap, or says what is waited for.
type connector struct{ waits string }

func (c connector) Connect(_ context.Context, vm *v1alpha1.VirtualMachine, card *v1alpha1.VirtualMachineInterface, n *v1alpha1.VirtualNetwork) (convert.Card, string, error) {
	name, config := n.CNI()
	return convert.Card{Tap: "tap-" + vm.Name + "-" + card.Name + "-" + name + config, MTU: 1450}, c.waits, nil
}

func TestWhatACardIsConnectedTo(t *testing.T) {
	kind := func(k v1alpha1.NetworkType) func(*v1alpha1.VirtualNetwork) {
		return func(n *v1alpha1.VirtualNetwork) {
			n.Spec = v1alpha1.VirtualNetworkSpec{Type: k}
			if k == v1alpha1.NetworkCNI {
				n.Spec.CNI = &v1alpha1.CNINetwork{ConfigName: "pods"}
			}
		}
	}
	for name, test := range map[string]struct {
		network  *v1alpha1.VirtualNetwork
		isolated bool
		state    *state
		cni      Connector
		want     Gate
	}{
		"a network that is active": {network: virtualNetwork(), state: &state{active: true}, want: Gate{Cards: map[string]convert.Card{"a": {Network: "shop.lan.vn-0b1c2d3e4f50"}}}},
		"one that is being made":   {network: virtualNetwork(), want: Gate{Waiting: map[string]string{"a": "VirtualNetwork lan is being made on host h"}}},
		"one that cannot be here": {network: virtualNetwork(), state: &state{message: "no bridge", unfit: true},
			want: Gate{Waiting: map[string]string{"a": "VirtualNetwork lan: no bridge"}, Unfit: "VirtualNetwork lan: no bridge"}},
		"a card of its own": {network: virtualNetwork(kind(v1alpha1.NetworkDirect)), isolated: true,
			want: Gate{Waiting: map[string]string{"a": "spec.interfaces: card a cannot be isolated on VirtualNetwork lan of type direct, where mode private does that: leave isolated out"}}},
		"CNI":                 {network: virtualNetwork(kind(v1alpha1.NetworkCNI)), cni: connector{}, want: Gate{Cards: map[string]convert.Card{"a": {Tap: "tap-web-a-pods", MTU: 1450}}}},
		"CNI that is at work": {network: virtualNetwork(kind(v1alpha1.NetworkCNI)), cni: connector{"its plugin runs"}, want: Gate{Waiting: map[string]string{"a": "its plugin runs"}}},
		"CNI that is not here": {network: virtualNetwork(kind(v1alpha1.NetworkCNI)),
			want: Gate{Waiting: map[string]string{"a": "host h connects no cards to networks of type cni, as VirtualNetwork lan is"}, Unfit: "host h connects no cards to networks of type cni, as VirtualNetwork lan is"}},
		"CNI that is being deleted": {network: virtualNetwork(kind(v1alpha1.NetworkCNI), deleted), cni: connector{}, want: Gate{Waiting: map[string]string{"a": "VirtualNetwork lan is being deleted: leave it out of spec.interfaces"}}},
	} {
		t.Run(name, func(t *testing.T) {
			k := New(Options{Node: "h", Networks: all{"lan": test.network}, CNI: test.cni})
			if test.state != nil {
				k.states[types.NamespacedName{Namespace: "shop", Name: "lan"}] = map[types.UID]state{test.network.UID: *test.state}
			}
			vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
			vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "a", NetworkName: "lan", Isolated: test.isolated}}
			if test.want.Cards == nil {
				test.want.Cards = map[string]convert.Card{}
			}
			if test.want.Waiting == nil {
				test.want.Waiting = map[string]string{}
			}
			got, err := k.Gate(context.Background(), vm)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Whoever stops a network and whoever gives a guest a card on it keep each other out.
func TestANetworkIsHeldOrClosed(t *testing.T) {
	k := New(Options{Node: "h"})
	cards := map[string]convert.Card{"a": {Network: "n"}}
	release, ok := k.Hold(cards)
	if !ok || k.close("n") {
		t.Fatal("a network is stopped while a guest is given a card on it")
	}
	release()
	if !k.close("n") {
		t.Fatal("a network that nobody is given a card on cannot be stopped")
	}
	if _, ok := k.Hold(cards); ok {
		t.Fatal("a guest is given a card on a network that is being stopped")
	}
	k.open("n")
	if release, ok = k.Hold(cards); !ok {
		t.Fatal("a network stays closed")
	}
	release()
	if len(k.held)+len(k.closing) > 0 {
		t.Errorf("left: %v %v", k.held, k.closing)
	}
}
