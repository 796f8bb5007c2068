package networks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/networks/networkstest"
	"domus.dev/domus/pkg/libvirt"
)

// world is a host with VMs that come and go, whose keeper may die at any point.
type world struct {
	t      *rapid.T
	host   *networkstest.Host
	api    client.WithWatch
	keeper *Keeper
	clock  *clocktesting.FakeClock
	// vms name networks, and guests have cards on libvirt's, by the VM's name.
	vms    map[string]string
	guests map[string]string
	// failing is how many of the next changes fail, before or after they took effect.
	failing int
	after   bool
	made    int
}

var errDied = errors.New("the process died")

func newWorld(t *rapid.T) *world {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, host: networkstest.New(libvirt.HostInterface{Name: "br0", Bridge: true}), clock: clocktesting.NewFakeClock(planNow), vms: map[string]string{}, guests: map[string]string{}}
	w.api = fake.NewClientBuilder().WithScheme(scheme).Build()
	w.host.Step = func(what string) (before, after error) {
		// The one thing that must never be done.
		if name, stops := strings.CutPrefix(what, "stop "); stops {
			for vm, network := range w.guests {
				if network == name {
					t.Fatalf("%s, on which %s has a card", what, vm)
				}
			}
		}
		if w.failing == 0 {
			return nil, nil
		}
		w.failing--
		if w.after {
			return nil, errDied
		}
		return errDied, nil
	}
	w.restart()
	return w
}

func (w *world) restart() {
	w.keeper = New(Options{
		Node: "a", Host: w.host, Live: w.api, Networks: w, Guests: w, Recorder: events.NewFakeRecorder(10000), Clock: w.clock,
		Levels:  func(context.Context, string) (v1alpha1.PolicyLevel, error) { return v1alpha1.PolicyPrivileged, nil },
		Ready:   func() bool { return true },
		Changed: func(types.NamespacedName) {}, Reported: func() {},
	})
	w.keeper.Join("cluster")
	if err := w.keeper.lookAtHost(context.Background(), true); err != nil {
		w.t.Fatal(err)
	}
}

// Network implements VirtualNetworks: a watch that has heard of everything.
func (w *world) Network(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{}
	if w.api.Get(ctx, key, n) != nil {
		return nil
	}
	return n
}

// NetworkUsers implements Guests.
func (w *world) NetworkUsers(_ context.Context, network types.NamespacedName, libvirtName string) (out []User) {
	for vm, name := range w.guests {
		if name == libvirtName {
			out = append(out, User{VM: vm, Guest: true})
		}
	}
	for vm, name := range w.vms {
		if name == network.Name {
			out = append(out, User{VM: vm})
		}
	}
	return out
}

// NetworksNamed implements Guests.
func (w *world) NetworksNamed(context.Context) (out []types.NamespacedName) {
	for _, name := range w.vms {
		out = append(out, types.NamespacedName{Namespace: "shop", Name: name})
	}
	return out
}

func (w *world) create(name string) {
	w.made++
	n := virtualNetwork()
	n.Name, n.UID, n.ResourceVersion = name, types.UID(fmt.Sprintf("%012d-%s", w.made, name)), ""
	_ = w.api.Create(context.Background(), n) // or it is there
}

// remove is what vm-scheduler does with one that is deleted, or worse: somebody took
// the finalizer.
func (w *world) remove(name string) {
	n := w.Network(context.Background(), types.NamespacedName{Namespace: "shop", Name: name})
	if n == nil {
		return
	}
	n.Finalizers = nil
	_ = w.api.Update(context.Background(), n)
	_ = w.api.Delete(context.Background(), n)
}

func (w *world) turns(name string) {
	for range 4 {
		_, _ = w.keeper.Turn(context.Background(), types.NamespacedName{Namespace: "shop", Name: name})
	}
}

// start gives a VM's guest a card, as its turn does.
func (w *world) start(vm string) {
	name, bound := w.vms[vm]
	if !bound || w.guests[vm] != "" {
		return
	}
	machine := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: vm}}
	machine.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "lan", NetworkName: name}}
	gate, err := w.keeper.Gate(context.Background(), machine)
	if err != nil || len(gate.Waiting) > 0 {
		return
	}
	release, ok := w.keeper.Hold(gate.Cards)
	if !ok {
		return
	}
	defer release()
	network := gate.Cards["lan"].Network
	if _, active := w.host.Has(network); !active {
		w.t.Fatalf("%s was let start on network %s, which is not active", vm, network)
	}
	w.guests[vm] = network
}

func TestNoNetworkIsLostOrLeft(t *testing.T) {
	names, vms := []string{"lan", "dmz"}, []string{"web", "db", "mail"}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		vm, name := rapid.SampledFrom(vms), rapid.SampledFrom(names)
		t.Repeat(map[string]func(*rapid.T){
			"create":    func(t *rapid.T) { w.create(name.Draw(t, "name")) },
			"remove":    func(t *rapid.T) { w.remove(name.Draw(t, "name")) },
			"bind":      func(t *rapid.T) { w.vms[vm.Draw(t, "vm")] = name.Draw(t, "name") },
			"start":     func(t *rapid.T) { w.start(vm.Draw(t, "vm")) },
			"end":       func(t *rapid.T) { delete(w.guests, vm.Draw(t, "vm")) },
			"unbind":    func(t *rapid.T) { v := vm.Draw(t, "vm"); delete(w.guests, v); delete(w.vms, v) },
			"turn":      func(t *rapid.T) { w.turns(name.Draw(t, "name")) },
			"die":       func(t *rapid.T) { w.restart() },
			"time":      func(*rapid.T) { w.clock.Step(5 * time.Second) },
			"power cut": func(t *rapid.T) { w.guests = map[string]string{}; w.powerCut(); w.restart() },
			"fail": func(t *rapid.T) {
				w.failing, w.after = rapid.IntRange(1, 3).Draw(t, "failures"), rapid.Bool().Draw(t, "after")
			},
			"edit": func(t *rapid.T) {
				if n := w.Network(context.Background(), types.NamespacedName{Namespace: "shop", Name: name.Draw(t, "name")}); n != nil {
					n.Spec.MTU = int32(1400 + rapid.IntRange(0, 3).Draw(t, "mtu"))
					_ = w.api.Update(context.Background(), n)
				}
			},
			"": func(*rapid.T) {},
		})
		w.failing = 0
		for range 3 {
			w.clock.Step(10 * time.Minute)
			w.keeper.forgetListing()
			for _, name := range names {
				w.turns(name)
			}
		}
		w.check()
	})
}

func (w *world) powerCut() {
	all, _ := w.host.Networks(context.Background())
	step := w.host.Step
	w.host.Step = nil
	for _, n := range all {
		_ = w.host.StopNetwork(context.Background(), n.Name)
	}
	w.host.Step = step
}

// check holds the host to what it is to be at rest: the networks of bound VMs, those
// that guests are on still, and no others.
func (w *world) check() {
	want := map[string]bool{}
	for vm, name := range w.vms {
		n := w.Network(context.Background(), types.NamespacedName{Namespace: "shop", Name: name})
		if n == nil {
			continue
		}
		want[n.LibvirtName()] = true
		machine := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: vm}}
		machine.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "lan", NetworkName: name}}
		gate, err := w.keeper.Gate(context.Background(), machine)
		if err != nil || gate.Cards["lan"].Network != n.LibvirtName() {
			w.t.Fatalf("%s waits: %+v, %v", vm, gate, err)
		}
	}
	for _, network := range w.guests {
		want[network] = true
	}
	if got := w.host.Names(); got != strings.Join(slices.Sorted(maps.Keys(want)), " ") {
		w.t.Fatalf("the host has networks %q, and these are needed: %v", got, slices.Sorted(maps.Keys(want)))
	}
	for name := range want {
		if _, active := w.host.Has(name); !active {
			w.t.Fatalf("network %s is not active", name)
		}
	}
}

// leftovers has a bridge of which libvirt does not know, until it is removed.
type leftovers struct{ bridge, removed string }

// Clean implements Leftovers.
func (l *leftovers) Clean(_ context.Context, network, bridge string) error {
	if l.bridge == bridge {
		l.bridge, l.removed = "", network+" on "+bridge
	}
	return nil
}

// A libvirtd that is killed while it starts a network leaves its bridge, and would
// refuse to make it for ever.
func TestAStartThatWasCutShort(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*v1alpha1.VirtualNetwork)
		cleaned bool
	}{
		"a bridge that is named after it": {func(*v1alpha1.VirtualNetwork) {}, true},
		"a bridge that the user named":    {func(n *v1alpha1.VirtualNetwork) { n.Spec.BridgeName = "vn0b1c2d3e4f50" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			left := &leftovers{bridge: "vn0b1c2d3e4f50"}
			host := networkstest.New()
			host.Step = func(what string) (before, after error) {
				if strings.HasPrefix(what, "start ") && left.bridge != "" {
					return libvirt.ErrNetworkBusy, nil
				}
				return nil, nil
			}
			in := Situation{Network: virtualNetwork(test.change)}
			k := New(Options{Host: host, Leftovers: left, Recorder: events.NewFakeRecorder(10), Clock: clocktesting.NewFakeClock(planNow)})
			want, err := Define(in.Network, "cluster", &v1alpha1.HypervisorStatus{})
			if err != nil {
				t.Fatal(err)
			}
			in.Want = &want
			memory := &Memory{}
			done := k.carryOut(context.Background(), types.NamespacedName{}, &in, Decision{Steps: []Step{StepDefine, StepStart}}, memory)
			if _, active := host.Has("shop.lan.vn-0b1c2d3e4f50"); done != test.cleaned || active != test.cleaned || (left.removed != "") != test.cleaned {
				t.Errorf("done %t, active %t, removed %q, %s", done, active, left.removed, memory.Message)
			}
			if !test.cleaned && (!memory.Unfit || !strings.Contains(memory.Message, "choose other subnets or another bridgeName")) {
				t.Errorf("said %q, unfit %t", memory.Message, memory.Unfit)
			}
		})
	}
}
