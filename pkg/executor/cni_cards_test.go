package executor

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cni"
)

// fakeCNI stands for plugins: cards are made when let is read from, or fail.
type fakeCNI struct {
	mu      sync.Mutex
	let     chan error
	cards   map[cniCard]cni.Attachment
	offered []string
	plugins []string
}

func (f *fakeCNI) Standing(a cni.Attachment) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	had, is := f.cards[cniCard{a.UID, a.Card}]
	return is && had.Network == a.Network && had.MAC == a.MAC, nil
}

func (f *fakeCNI) Attach(_ context.Context, a cni.Attachment) (cni.Result, error) {
	if standing, _ := f.Standing(a); !standing {
		if err := <-f.let; err != nil {
			return cni.Result{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cards[cniCard{a.UID, a.Card}] = a
	return cni.Result{Tap: "tap-" + a.Network, MAC: a.MAC, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/24")}}, nil
}

func (f *fakeCNI) Known(uid types.UID, card string) (cni.Card, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, is := f.cards[cniCard{uid, card}]
	return cni.Card{Attachment: a, Attached: is, Result: cni.Result{MAC: a.MAC, Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/24")}}}, is, nil
}

func (f *fakeCNI) Offered() ([]string, error) { return f.offered, nil }

func (f *fakeCNI) OfferedPlugins() []string { return f.plugins }

func (f *fakeCNI) Resume(context.Context) error { return nil }

func (f *fakeCNI) Sweep(_ context.Context, keep func(types.UID, string) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.cards {
		if !keep(key.uid, key.card) {
			delete(f.cards, key)
		}
	}
	return nil
}

func (f *fakeCNI) Close() {}

type cniTest struct {
	*cniCards
	host    *fakeCNI
	clock   *clocktesting.FakeClock
	changed chan types.NamespacedName
	used    map[cniCard]bool
}

func newCNITest() *cniTest {
	x := &cniTest{
		host:    &fakeCNI{let: make(chan error), cards: map[cniCard]cni.Attachment{}},
		clock:   clocktesting.NewFakeClock(time.Unix(1000, 0)),
		changed: make(chan types.NamespacedName, 10), used: map[cniCard]bool{},
	}
	x.cniCards = &cniCards{
		manager: x.host, clock: x.clock, inUse: func(c cniCard) bool { return x.used[c] },
		changed: func(vm types.NamespacedName) { x.changed <- vm }, offering: func() {},
		cards: map[cniCard]*cniWork{}, running: context.Background(),
	}
	return x
}

func cniVM() (*v1alpha1.VirtualMachine, *v1alpha1.VirtualMachineInterface, *v1alpha1.VirtualNetwork) {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web", UID: "uid"}}
	vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "net0", NetworkName: "pods", MACAddress: "52:54:00:00:00:01"}}
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "pods"}}
	n.Spec.Type, n.Spec.CNI = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{ConfigName: "lan"}
	return vm, &vm.Spec.Interfaces[0], n
}

// A turn does not wait for plugins: it hears of the card when it is there.
func TestCNIConnect(t *testing.T) {
	x := newCNITest()
	vm, card, network := cniVM()
	for range 2 { // the second finds it being made
		got, waits, err := x.Connect(t.Context(), vm, card, network)
		if err != nil || got.Tap != "" || !strings.Contains(waits, "net0 is being connected") {
			t.Fatalf("%+v, %q, %v", got, waits, err)
		}
	}
	x.host.let <- nil
	if key := <-x.changed; key.Name != "web" {
		t.Errorf("told of %s", key)
	}
	got, waits, err := x.Connect(t.Context(), vm, card, network)
	want := convert.Card{Tap: "tap-lan", MAC: "52:54:00:00:00:01", MTU: 1400, Addresses: []string{"10.1.2.3/24"}}
	if diff := cmp.Diff(want, got); diff != "" || waits != "" || err != nil {
		t.Errorf("%q, %v (-want +got):\n%s", waits, err, diff)
	}
}

// One that fails says why, and is tried again after a while that grows.
func TestCNIConnectFails(t *testing.T) {
	x := newCNITest()
	vm, card, network := cniVM()
	wait := firstCNIRetry
	for range 3 {
		if _, _, err := x.Connect(t.Context(), vm, card, network); err != nil {
			t.Fatal(err)
		}
		x.host.let <- errors.New("no address is free")
		<-x.changed
		for range 2 { // nothing is begun: nobody reads of it
			if _, waits, err := x.Connect(t.Context(), vm, card, network); err != nil || !strings.Contains(waits, "VirtualNetwork pods: no address is free") {
				t.Fatalf("%q, %v", waits, err)
			}
		}
		x.clock.Step(wait - time.Millisecond)
		x.mu.Lock()
		busy := x.cards[cniCard{"uid", "net0"}].busy
		x.mu.Unlock()
		if busy {
			t.Error("it is tried too soon")
		}
		x.clock.Step(time.Millisecond)
		wait *= 2
	}
	// Until it is known to be mended, what was wrong is still said.
	if _, waits, _ := x.Connect(t.Context(), vm, card, network); !strings.Contains(waits, "no address is free") {
		t.Errorf("said is %q", waits)
	}
	x.host.let <- nil
	<-x.changed
	if got, waits, err := x.Connect(t.Context(), vm, card, network); err != nil || waits != "" || got.Tap == "" {
		t.Errorf("%+v, %q, %v", got, waits, err)
	}
}

// A card that a guest is using is not replaced under it.
func TestCNIConnectInUse(t *testing.T) {
	x := newCNITest()
	vm, card, network := cniVM()
	key := cniCard{"uid", "net0"}
	x.host.cards[key] = cni.Attachment{UID: "uid", Card: "net0", Network: "old", MAC: "52:54:00:00:00:02"}
	x.used[key] = true
	got, waits, err := x.Connect(t.Context(), vm, card, network)
	if err != nil || waits != "" || got.Tap != "tap-old" || got.MAC != "52:54:00:00:00:02" {
		t.Errorf("%+v, %q, %v", got, waits, err)
	}
	x.used[key] = false
	if _, waits, err := x.Connect(t.Context(), vm, card, network); err != nil || waits == "" {
		t.Errorf("once it has ended: %q, %v", waits, err)
	}
	x.host.let <- nil
	<-x.changed
	if got, _, _ := x.Connect(t.Context(), vm, card, network); got.Tap != "tap-lan" {
		t.Errorf("it has %+v", got)
	}
}

func TestCNISweep(t *testing.T) {
	x := newCNITest()
	vm, card, network := cniVM()
	if _, _, err := x.Connect(t.Context(), vm, card, network); err != nil {
		t.Fatal(err)
	}
	x.host.let <- nil
	<-x.changed
	other := cniCard{"gone", "net0"}
	x.host.cards[other] = cni.Attachment{UID: "gone", Card: "net0"}
	left := func(needed ...cniCard) []types.UID {
		need := map[cniCard]bool{}
		for _, c := range needed {
			need[c] = true
		}
		if err := x.sweep(t.Context(), need); err != nil {
			t.Fatal(err)
		}
		var uids []types.UID
		for key := range x.host.cards {
			uids = append(uids, key.uid)
		}
		slices.Sort(uids)
		return uids
	}
	if got := left(other); !slices.Equal(got, []types.UID{"gone", "uid"}) {
		t.Errorf("one that is needed was swept: %v", got)
	}
	if got := left(); !slices.Equal(got, []types.UID{"uid"}) {
		t.Errorf("what a turn has just asked for was swept, or what nobody needs was not: %v", got)
	}
	x.clock.Step(cniGrace)
	if got := left(); len(got) > 0 {
		t.Errorf("left is %v", got)
	}
}

func TestCNIOffers(t *testing.T) {
	var none *cniCards
	if none.offers() != nil || none.connector() != nil {
		t.Error("a host without CNI offers something")
	}
	x := newCNITest()
	x.host.offered = []string{"lan"}
	told := 0
	x.offering = func() { told++ }
	for range 2 {
		x.readOffers(klog.Background())
	}
	if got := x.offers(); !slices.Equal(got, []string{"lan"}) || told != 1 {
		t.Errorf("offers %v, told %d times", got, told)
	}
}
