package disklocality

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

// synced is an informer that has delivered all there is: nothing.
type synced struct{}

func (synced) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return synced{}, nil
}
func (synced) HasSynced() bool                     { return true }
func (synced) HasSyncedChecker() cache.DoneChecker { return nil }

// writer keeps what it is to store, and fails as it is told.
type writer struct {
	err    error
	stored []string
	// then is called when it is about to answer.
	then func()
}

func (w *writer) ClaimDisk(_ context.Context, d *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, claim *v1alpha1.DiskClaim) error {
	if w.then != nil {
		defer w.then()
	}
	if w.err != nil {
		return w.err
	}
	w.stored = append(w.stored, fmt.Sprintf("%s: %+v for %s", d.Name, home, claimer(claim)))
	return nil
}

func claimer(c *v1alpha1.DiskClaim) string {
	if c == nil {
		return "nobody"
	}
	return c.Name
}

type stage struct {
	*plugin
	vms    map[string]*v1alpha1.VirtualMachine
	writer *writer
}

// on is the plugin over hosts a and b with 10 GiB in pool default, of which b has
// also pool shared, of a store that c has too.
func on(t testing.TB, disks ...*v1alpha1.VirtualDisk) *stage {
	t.Helper()
	shared := v1alpha1.HostPool{Name: "shared", Type: "netfs", Store: "netfs://s/x", Capacity: 5 * gib, Allocatable: 5 * gib}
	s := &stage{vms: map[string]*v1alpha1.VirtualMachine{}, writer: &writer{}}
	d := New(synced{}, func(_, name string) *v1alpha1.VirtualMachine { return s.vms[name] }, s.writer)
	if _, err := d.Follow(cache.ResourceEventHandlerFuncs{}); err != nil {
		t.Fatal(err)
	}
	for _, disk := range disks {
		d.See(disk)
	}
	s.plugin = &plugin{disks: d, fleet: fleettest.New(t, hypervisor("a", 10*gib), hypervisor("b", 10*gib, shared), hypervisor("c", 10*gib, shared))}
	return s
}

func hypervisor(name string, bytes int64, more ...v1alpha1.HostPool) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv.Status.Pools = append([]v1alpha1.HostPool{{Name: "default", Type: "dir", Capacity: bytes, Allocatable: bytes}}, more...)
	return hv
}

func nodeInfo(name string) fwk.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return info
}

type change = func(*v1alpha1.VirtualDisk)

func disk(name string, gb int64, changes ...change) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	d.Spec.Size = resource.NewQuantity(gb*gib, resource.BinarySI)
	for _, f := range changes {
		f(d)
	}
	return d
}

func home(node string) change { return func(d *v1alpha1.VirtualDisk) { d.Status.NodeName = node } }

func inStore(d *v1alpha1.VirtualDisk) {
	d.Spec.PoolName = "shared"
	d.Status.NodeName, d.Status.PoolName, d.Status.Store, d.Status.VolumeName = "b", "shared", "netfs://s/x", "v"
}

func claimedBy(vm string) change {
	return func(d *v1alpha1.VirtualDisk) {
		d.Status.ClaimedBy = &v1alpha1.DiskClaim{Name: vm, UID: types.UID("uid-" + vm)}
	}
}

func inPool(name string) change { return func(d *v1alpha1.VirtualDisk) { d.Spec.PoolName = name } }

func readOnly(d *v1alpha1.VirtualDisk) { d.Spec.AccessMode = v1alpha1.DiskSharedReadOnly }

func copyOf(name string) change {
	return func(d *v1alpha1.VirtualDisk) {
		d.Spec.Source = &v1alpha1.DiskSource{Disk: &v1alpha1.DiskCloneSource{Name: name}}
	}
}

func pod(name string, disks ...string) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi")}
	for _, d := range disks {
		vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: d, DiskName: d})
	}
	return podless.Project(vm, podless.Priority{})
}

func TestWhereAVMMayGo(t *testing.T) {
	now := metav1.Now()
	for name, test := range map[string]struct {
		disks []*v1alpha1.VirtualDisk
		wants []string
		// bound is a VM that has a host.
		bound string
		// refused is why no host will do; hosts are those that do.
		refused string
		hosts   string
		only    string
	}{
		"a disk without a home goes anywhere":            {disks: []*v1alpha1.VirtualDisk{disk("d", 10)}, wants: []string{"d"}, hosts: "abc"},
		"unless there is no room":                        {disks: []*v1alpha1.VirtualDisk{disk("d", 4), disk("e", 7, home("a"))}, wants: []string{"d"}, hosts: "bc"},
		"its disks need room together":                   {disks: []*v1alpha1.VirtualDisk{disk("d", 6), disk("e", 5)}, wants: []string{"d", "e"}, hosts: ""},
		"a disk with a home pulls its VM there":          {disks: []*v1alpha1.VirtualDisk{disk("d", 10, home("b"))}, wants: []string{"d"}, hosts: "abc", only: "b"},
		"also one that is to have it there":              {disks: []*v1alpha1.VirtualDisk{disk("d", 1, func(d *v1alpha1.VirtualDisk) { d.Spec.NodeName = "c" })}, wants: []string{"d"}, hosts: "abc", only: "c"},
		"two homes":                                      {disks: []*v1alpha1.VirtualDisk{disk("d", 1, home("a")), disk("e", 1, home("b"))}, wants: []string{"d", "e"}, refused: "VirtualDisks d and e are on different hosts, a and b"},
		"a store that two hosts have":                    {disks: []*v1alpha1.VirtualDisk{disk("d", 1, inStore)}, wants: []string{"d"}, hosts: "bc"},
		"what is taken of a store is taken on all hosts": {disks: []*v1alpha1.VirtualDisk{disk("d", 1, func(d *v1alpha1.VirtualDisk) { d.Spec.PoolName = "shared" }), disk("e", 5, inStore)}, wants: []string{"d"}, hosts: ""},
		"a copy is made where its source is":             {disks: []*v1alpha1.VirtualDisk{disk("d", 1, copyOf("e")), disk("e", 1, home("a"), func(d *v1alpha1.VirtualDisk) { d.Status.VolumeName = "v" })}, wants: []string{"d"}, hosts: "abc", only: "a"},
		"a copy of nothing":                              {disks: []*v1alpha1.VirtualDisk{disk("d", 1, copyOf("e")), disk("e", 1)}, wants: []string{"d"}, refused: "begins as a copy of VirtualDisk e, which has no volume"},
		"a copy of what is deleted": {disks: []*v1alpha1.VirtualDisk{disk("d", 1, copyOf("e")), disk("e", 1, home("a"), func(d *v1alpha1.VirtualDisk) {
			d.Status.VolumeName, d.DeletionTimestamp = "v", &now
		})}, wants: []string{"d"}, refused: "begins as a copy of VirtualDisk e, which is being deleted: create it anew with another spec.source"},
		"a disk that is not there":              {wants: []string{"d"}, refused: "there is no VirtualDisk d in namespace ns: create it"},
		"a disk that is deleted":                {disks: []*v1alpha1.VirtualDisk{disk("d", 1, func(d *v1alpha1.VirtualDisk) { d.DeletionTimestamp = &now })}, wants: []string{"d"}, refused: "is being deleted"},
		"a disk of a VM that has a host":        {disks: []*v1alpha1.VirtualDisk{disk("d", 1, home("a"), claimedBy("other"))}, wants: []string{"d"}, bound: "other", refused: "has a single writer, VirtualMachine other"},
		"a disk of a VM that has none any more": {disks: []*v1alpha1.VirtualDisk{disk("d", 1, home("a"), claimedBy("other"))}, wants: []string{"d"}, hosts: "abc", only: "a"},
		"a disk that all may read":              {disks: []*v1alpha1.VirtualDisk{disk("d", 1, home("a"), readOnly)}, wants: []string{"d"}, bound: "other", hosts: "abc", only: "a"},
		"a pool that no host has":               {disks: []*v1alpha1.VirtualDisk{disk("d", 1, func(d *v1alpha1.VirtualDisk) { d.Spec.PoolName = "none" })}, wants: []string{"d"}, hosts: ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := on(t, test.disks...)
			if test.bound != "" {
				s.vms[test.bound] = &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Name: test.bound, UID: types.UID("uid-" + test.bound)}}
				s.vms[test.bound].Status.Placement = &v1alpha1.Placement{NodeName: "a"}
			}
			cs := framework.NewCycleState()
			result, status := s.PreFilter(t.Context(), cs, pod("vm", test.wants...), nil)
			if test.refused != "" {
				if status.Code() != fwk.UnschedulableAndUnresolvable || !strings.Contains(status.Message(), test.refused) {
					t.Errorf("status %v, want %q", status, test.refused)
				}
				return
			}
			if !status.IsSuccess() {
				t.Fatal(status)
			}
			var only sets.Set[string]
			if test.only != "" {
				only = sets.New(test.only)
			}
			if result == nil && only != nil || result != nil && !result.NodeNames.Equal(only) {
				t.Errorf("only %v, want %q", result, test.only)
			}
			got := ""
			for _, host := range []string{"a", "b", "c"} {
				if s.Filter(t.Context(), cs, nil, nodeInfo(host)).IsSuccess() {
					got += host
				}
			}
			if got != test.hosts {
				t.Errorf("hosts %q, want %q", got, test.hosts)
			}
		})
	}
}

// Promises begin with Reserve and end when the disk tells itself.
func TestPromises(t *testing.T) {
	fits := func(s *stage, gb int64) bool {
		t.Helper()
		s.disks.See(disk("probe", gb))
		cs := framework.NewCycleState()
		if _, status := s.PreFilter(t.Context(), cs, pod("probe", "probe"), nil); !status.IsSuccess() {
			t.Fatal(status)
		}
		return s.Filter(t.Context(), cs, nil, nodeInfo("a")).IsSuccess()
	}
	reserved := func(t *testing.T) (*stage, *corev1.Pod) {
		s, vm := on(t, disk("d", 6)), pod("vm", "d")
		if status := s.Reserve(t.Context(), nil, vm, "a"); !status.IsSuccess() {
			t.Fatal(status)
		}
		if fits(s, 5) || !fits(s, 4) {
			t.Error("what is reserved does not count")
		}
		if _, status := s.PreFilter(t.Context(), framework.NewCycleState(), pod("other", "d"), nil); !strings.Contains(status.Message(), "single writer, VirtualMachine vm") {
			t.Errorf("it is another's, too: %v", status)
		}
		return s, vm
	}
	t.Run("it is given back", func(t *testing.T) {
		s, vm := reserved(t)
		s.Unreserve(t.Context(), nil, vm, "a")
		if !fits(s, 10) || s.disks.Promises() != 0 {
			t.Errorf("%d promises are left", s.disks.Promises())
		}
	})
	t.Run("the disk tells", func(t *testing.T) {
		s, vm := reserved(t)
		if status := s.Bind(t.Context(), nil, vm, "a"); !status.IsSkip() || len(s.writer.stored) != 1 || s.writer.stored[0] != "d: {NodeName:a PoolName:default Store:} for vm" {
			t.Errorf("%v, stored %v", status, s.writer.stored)
		}
		s.disks.See(disk("d", 6, home("a"), claimedBy("vm")))
		if fits(s, 5) || !fits(s, 4) {
			t.Error("it counts twice, or not at all")
		}
		s.disks.ended(vm.UID, true)
		if s.disks.Promises() != 0 {
			t.Errorf("%d promises are left", s.disks.Promises())
		}
	})
	t.Run("nobody knows whether it was stored", func(t *testing.T) {
		s, vm := reserved(t)
		s.writer.err = diskstatus.ErrUnknown
		if status := s.Bind(t.Context(), nil, vm, "a"); status.Code() != fwk.Error {
			t.Errorf("%v", status)
		}
		s.Unreserve(t.Context(), nil, vm, "a")
		if fits(s, 5) {
			t.Error("what may be stored counts no more")
		}
		if status := s.Reserve(t.Context(), nil, vm, "a"); !status.IsSuccess() || fits(s, 5) || !fits(s, 4) {
			t.Errorf("tried again: %v", status)
		}
	})
	t.Run("it was not stored", func(t *testing.T) {
		s, vm := reserved(t)
		s.writer.err = diskstatus.ErrStale
		if status := s.Bind(t.Context(), nil, vm, "a"); status.Code() != fwk.Error {
			t.Errorf("%v", status)
		}
		s.Unreserve(t.Context(), nil, vm, "a")
		if !fits(s, 10) || s.disks.Promises() != 0 {
			t.Errorf("%d promises are left", s.disks.Promises())
		}
	})
	t.Run("it was not stored, and the VM has gone meanwhile", func(t *testing.T) {
		s, vm := reserved(t)
		s.writer.err, s.writer.then = diskstatus.ErrStale, func() { s.disks.ended(vm.UID, false) }
		if status := s.Bind(t.Context(), nil, vm, "a"); status.Code() != fwk.Error {
			t.Errorf("%v", status)
		}
		s.Unreserve(t.Context(), nil, vm, "a")
		if !fits(s, 10) || s.disks.Promises() != 0 {
			t.Errorf("%d promises are left", s.disks.Promises())
		}
	})
	t.Run("the disk is gone", func(t *testing.T) {
		s, _ := reserved(t)
		s.disks.lost(disk("d", 6))
		if !fits(s, 10) || s.disks.Promises() != 0 {
			t.Errorf("%d promises are left", s.disks.Promises())
		}
	})
}

// What Reserve promised may not be so any more when Bind comes, which is later: then
// nothing is stored, and the VM is tried again.
func TestAPromiseThatDoesNotStand(t *testing.T) {
	anew := func(changes ...change) *v1alpha1.VirtualDisk {
		d := disk("d", 6, changes...)
		d.UID = "anew"
		return d
	}
	for name, test := range map[string]struct {
		disk   *v1alpha1.VirtualDisk
		before func(s *stage)
		says   string
	}{
		"the disk was created anew":             {disk("d", 6), func(s *stage) { s.disks.See(anew()) }, "meanwhile"},
		"created anew, and given to another VM": {disk("d", 6), func(s *stage) { s.disks.See(anew(home("a"), claimedBy("other"))) }, "meanwhile"},
		// The promise was made on what the disk had been before another VM had it.
		"another VM has it, as is seen now": {disk("d", 6), func(s *stage) {
			s.vms["other"] = placed("other")
			s.disks.See(disk("d", 6, home("a"), claimedBy("other")))
		}, "single writer, VirtualMachine other"},
		"created anew, and promised to another VM":      {disk("d", 6), func(s *stage) { s.disks.See(anew()); s.Reserve(t.Context(), nil, pod("other", "d"), "a") }, "single writer, VirtualMachine other"},
		"many may read it, and it was created anew":     {disk("d", 6, readOnly), func(s *stage) { s.disks.See(anew(readOnly)) }, "meanwhile"},
		"many may read it, and it has a home elsewhere": {disk("d", 6, readOnly), func(s *stage) { s.disks.See(disk("d", 6, readOnly, home("b"))) }, "meanwhile"},
		"the VM has gone, and another is given the disk": {disk("d", 6), func(s *stage) {
			s.disks.ended(pod("vm").UID, false)
			s.Reserve(t.Context(), nil, pod("other", "d"), "a")
		}, "single writer, VirtualMachine other"},
	} {
		t.Run(name, func(t *testing.T) {
			s, vm := on(t, test.disk), pod("vm", "d")
			if status := s.Reserve(t.Context(), nil, vm, "a"); !status.IsSuccess() {
				t.Fatal(status)
			}
			test.before(s)
			if status := s.Bind(t.Context(), nil, vm, "a"); status.Code() != fwk.Error || !strings.Contains(status.Message(), test.says) || len(s.writer.stored) != 0 {
				t.Errorf("%v, stored %v", status, s.writer.stored)
			}
		})
	}
}

// A disk that many may read is taken to one host, by the first of them; the others
// follow it there.
func TestTheFirstReaderChoosesTheHost(t *testing.T) {
	s := on(t, disk("d", 6, readOnly))
	first, second := pod("first", "d"), pod("second", "d")
	if status := s.Reserve(t.Context(), nil, first, "b"); !status.IsSuccess() {
		t.Fatal(status)
	}
	result, status := s.PreFilter(t.Context(), framework.NewCycleState(), second, nil)
	if !status.IsSuccess() || !cmp.Equal(result.NodeNames.UnsortedList(), []string{"b"}) {
		t.Fatalf("the second may go to %+v, %v", result, status)
	}
	if status := s.Reserve(t.Context(), nil, second, "b"); !status.IsSuccess() {
		t.Fatal(status)
	}
	if got := s.disks.claims[place{node: "b", pool: "default"}]; got != 6*gib {
		t.Errorf("%d bytes are counted", got)
	}
	for _, vm := range []*corev1.Pod{second, first} {
		s.Unreserve(t.Context(), nil, vm, "b")
	}
	if n := s.disks.Promises(); n != 0 {
		t.Errorf("%d promises are left", n)
	}
	if result, status := s.PreFilter(t.Context(), framework.NewCycleState(), second, nil); !status.IsSuccess() || result != nil {
		t.Errorf("nobody has it, and it may go to %+v, %v", result, status)
	}
}

func TestQueueingHints(t *testing.T) {
	s := on(t, disk("d", 1), disk("c", 1, copyOf("source")), disk("nowhere", 1), disk("there", 1, home("a")), disk("in-another-pool", 1, inPool("other")),
		disk("far", 1, func(d *v1alpha1.VirtualDisk) { d.Namespace = "another" }))
	inAnother := func(disk string) *corev1.Pod {
		left := pod("other", disk)
		left.Namespace = "another"
		return left
	}
	less, more := hypervisor("a", 5*gib), hypervisor("a", 6*gib)
	for name, test := range map[string]struct {
		hint     fwk.QueueingHintFn
		old, new any
		want     fwk.QueueingHint
	}{
		"its disk appears":                        {s.afterDiskChanged, nil, disk("d", 1), fwk.Queue},
		"its disk gets a home":                    {s.afterDiskChanged, disk("d", 1), disk("d", 1, home("a")), fwk.Queue},
		"its disk changes in nothing that counts": {s.afterDiskChanged, disk("d", 1), disk("d", 1, func(d *v1alpha1.VirtualDisk) { d.Status.Allocation = 1 }), fwk.QueueSkip},
		"another disk changes":                    {s.afterDiskChanged, disk("x", 1), disk("x", 1, home("a")), fwk.QueueSkip},
		"what its disk copies changes":            {s.afterDiskChanged, disk("source", 1), disk("source", 1, home("a")), fwk.Queue},
		"another disk of the pool is gone":        {s.afterDiskChanged, disk("x", 1, home("a")), nil, fwk.Queue},
		"one of another pool is gone":             {s.afterDiskChanged, disk("x", 1, inStore), nil, fwk.QueueSkip},
		"a pool has more":                         {s.afterHostDescribed, less, more, fwk.Queue},
		"a pool has less":                         {s.afterHostDescribed, more, less, fwk.QueueSkip},
		"a host appears":                          {s.afterHostDescribed, nil, less, fwk.Queue},
		"a VM that had its disk left":             {s.afterVMLeft, pod("other", "d"), nil, fwk.Queue},
		"a VM without it left":                    {s.afterVMLeft, pod("other", "x"), nil, fwk.QueueSkip},
		"a VM left that was promised room":        {s.afterVMLeft, pod("other", "nowhere"), nil, fwk.Queue},
		"a VM left whose disk has its room":       {s.afterVMLeft, pod("other", "there"), nil, fwk.QueueSkip},
		"a VM left that wanted another pool":      {s.afterVMLeft, pod("other", "in-another-pool"), nil, fwk.QueueSkip},
		"one of another namespace was":            {s.afterVMLeft, inAnother("far"), nil, fwk.Queue},
		"its disk had the name of another's":      {s.afterVMLeft, inAnother("d"), nil, fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := test.hint(logger, pod("vm", "d", "c"), test.old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestWhatItCosts(t *testing.T) {
	s := on(t, disk("d", 1), disk("e", 1, inStore))
	without, cs := pod("vm"), framework.NewCycleState()
	if n := testing.AllocsPerRun(100, func() {
		if names, err := podless.DisksOf(without); err != nil || names != nil {
			t.Fatal(names, err)
		}
	}); n > 0 {
		t.Errorf("a VM without disks: %v allocations to see that", n)
	}
	if _, status := s.PreFilter(t.Context(), cs, pod("vm", "d", "e"), nil); !status.IsSuccess() {
		t.Fatal(status)
	}
	host := nodeInfo("b")
	if n := testing.AllocsPerRun(100, func() {
		if status := s.Filter(context.Background(), cs, nil, host); !status.IsSuccess() {
			t.Fatal(status)
		}
		if _, status := s.Score(context.Background(), cs, nil, host); !status.IsSuccess() {
			t.Fatal(status)
		}
	}); n > 0 {
		t.Errorf("a host that fits: %v allocations", n)
	}
}

// What a disk that is moved will take is promised at its target, once.
func TestSpaceForAMove(t *testing.T) {
	s := on(t)
	there := hypervisor("b", 10*gib)
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "moved", UID: "moved"}}
	d.Status.NodeName, d.Status.PoolName, d.Status.Capacity, d.Status.VolumeName = "a", "default", 6*gib, "v"
	s.disks.See(d)
	room := func(want int64) {
		t.Helper()
		if got := s.disks.Room("another", there, "default"); got != want*gib {
			t.Errorf("%d GiB are left at the target, want %d", got/gib, want)
		}
	}
	giveBack, ok := s.disks.Hold(d, there, "default", 6*gib)
	if !ok {
		t.Fatal("there is no room")
	}
	room(4)
	if _, ok := s.disks.Hold(&v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{UID: "other"}}, there, "default", 6*gib); ok {
		t.Error("it was promised twice")
	}
	if why := s.disks.refuses(d, "moved", "pod", podless.Identity{}); !strings.Contains(why, "is about to be moved") {
		t.Errorf("a VM is given it: %q", why)
	}
	s.disks.See(d.DeepCopy()) // which does not show it yet
	room(4)
	giveBack()
	room(10)
	if _, ok := s.disks.Hold(d, there, "default", 6*gib); !ok {
		t.Fatal("there is no room")
	}
	moving := d.DeepCopy()
	moving.Status.MoveTo = &v1alpha1.DiskTarget{ID: "1", NodeName: "b", PoolName: "default"}
	s.disks.See(moving)
	room(4)
	if n := s.disks.Promises(); n != 0 {
		t.Errorf("%d promises are held besides", n)
	}
	if why := s.disks.refuses(moving, "moved", "pod", podless.Identity{}); !strings.Contains(why, "is being moved to storage pool default of host b") {
		t.Errorf("a VM is given it: %q", why)
	}
	arrived := d.DeepCopy()
	arrived.Status.NodeName = "b"
	s.disks.See(arrived)
	room(4)
	if got := s.disks.Room("another", hypervisor("a", 10*gib), "default"); got != 10*gib {
		t.Errorf("%d bytes are left where it was", got)
	}
}
