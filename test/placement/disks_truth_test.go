package placement

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const gib = int64(1) << 30

// diskWorld is a world whose hosts have room for any number of VMs, and little for
// disks.
type diskWorld struct {
	*world
	disks, deleted, copies, lost, muted int
}

// pools of a host: one of its own, and one that all hosts share.
func pools(own, shared int64) []v1alpha1.HostPool {
	return []v1alpha1.HostPool{
		{Name: "default", Type: "dir", Capacity: own, Allocatable: own},
		{Name: "shared", Type: "netfs", Store: "netfs://server/export", Capacity: shared, Allocatable: shared},
	}
}

func newDiskWorld(t *rapid.T, w *world) *diskWorld {
	d := &diskWorld{world: w}
	w.store = newStore(d.accept)
	for i := range 3 {
		name := fmt.Sprintf("host-%d", i)
		w.held[name] = map[types.UID]v1alpha1.Placement{}
		status := &v1alpha1.HypervisorStatus{Allocatable: v1alpha1.HostCapacity{CPU: 1000, Memory: 1000 * gib}}
		status.Cells = []v1alpha1.Cell{{CPUs: "0-999", Memory: 1000 * gib}}
		status.Pools = pools(int64(rapid.IntRange(2, 10).Draw(t, "GiB"))*gib, 10*gib)
		w.report(t, name, status)
	}
	w.startScheduler(t)
	return d
}

// accept is what the host of a VM does that was bound: all of its disks must be
// where it is, and its own.
func (w *diskWorld) accept(vm *v1alpha1.VirtualMachine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	node := vm.Status.Placement.NodeName
	w.held[node][vm.UID] = *vm.Status.Placement
	w.bound++
	all := w.api.disks.list()
	for _, named := range vm.Spec.Disks {
		d := all[named.DiskName]
		switch {
		case d == nil:
			continue // deleted on the way
		case d.Status.NodeName != node && (d.Status.Store == "" || d.Exclusive()):
			return fmt.Errorf("%s is bound to %s, and its disk %s is at home on %q", vm.Name, node, d.Name, d.Status.NodeName)
		case d.Exclusive() && (d.Status.ClaimedBy == nil || d.Status.ClaimedBy.UID != vm.UID):
			return fmt.Errorf("%s is bound to %s, and its disk %s is claimed by %+v", vm.Name, node, d.Name, d.Status.ClaimedBy)
		}
	}
	return w.promisedTwice(all)
}

// promisedTwice says which pool is promised more than it has; mu is held.
func (w *diskWorld) promisedTwice(all map[string]*v1alpha1.VirtualDisk) error {
	sums := map[string]int64{}
	for _, d := range all {
		switch s := d.Status; {
		case s.NodeName == "":
		case s.Store != "":
			sums[s.Store] += d.Claim()
		default:
			sums[s.NodeName] += d.Claim()
		}
	}
	for name, status := range w.hosts {
		if own, shared := status.Pools[0], status.Pools[1]; sums[name] > own.Allocatable || sums[shared.Store] > shared.Allocatable {
			return fmt.Errorf("of %+v on %s %d and %d bytes are promised", status.Pools, name, sums[name], sums[shared.Store])
		}
	}
	return nil
}

// --- what may happen ---

func (w *diskWorld) pick(t *rapid.T) string {
	return fmt.Sprintf("disk-%d", rapid.IntRange(0, 5).Draw(t, "disk"))
}

func (w *diskWorld) createDisk(t *rapid.T) {
	name := w.pick(t)
	if w.api.disks.list()[name] != nil {
		return
	}
	w.disks++
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(fmt.Sprintf("%s-%d", name, w.disks))}}
	d.Spec.Size = resource.NewQuantity(int64(rapid.IntRange(1, 6).Draw(t, "GiB"))*gib, resource.BinarySI)
	d.Spec.PoolName = rapid.SampledFrom([]string{"default", "default", "shared"}).Draw(t, "pool")
	d.Spec.AccessMode = rapid.SampledFrom([]v1alpha1.DiskAccessMode{v1alpha1.DiskSingleWriter, v1alpha1.DiskSingleWriter, v1alpha1.DiskSharedReadOnly}).Draw(t, "mode")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		d.Spec.NodeName = fmt.Sprintf("host-%d", rapid.IntRange(0, 2).Draw(t, "node"))
	case 1:
		if source := w.pick(t); source != name {
			d.Spec.Source = &v1alpha1.DiskSource{Disk: &v1alpha1.DiskCloneSource{Name: source}}
			w.copies++
		}
	}
	w.api.disks.create(d)
}

// deleteDisk removes a disk that no VM with a host names, as its host would.
func (w *diskWorld) deleteDisk(t *rapid.T) {
	name := w.pick(t)
	if w.api.disks.list()[name] == nil {
		return
	}
	for _, vm := range w.store.list() {
		if vm.NamesDisk(name) { // or it may be on its way to a host
			w.gone(vm)
			w.store.remove(vm.Name)
		}
	}
	w.deleted++
	w.api.disks.remove(name)
}

// makeVolumes is what hosts do with disks that have a home.
func (w *diskWorld) makeVolumes(*rapid.T) {
	d := w.api.disks
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, disk := range d.all {
		if disk.Status.NodeName != "" && disk.Status.VolumeName == "" {
			next := disk.DeepCopy()
			next.Status.VolumeName, next.Status.Capacity = "volume", disk.Spec.Size.Value()
			d.set(next)
		}
	}
}

func (w *diskWorld) createVM(t *rapid.T) {
	w.created++
	name := fmt.Sprintf("vm-%d", w.created)
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Generation: int64(w.created),
		CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000+int64(w.created), 0)),
	}}
	vm.Spec.SchedulerName = v1alpha1.DefaultSchedulerName
	vm.Spec.PowerState = v1alpha1.PowerRunning
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: *resource.NewQuantity(gib, resource.BinarySI)}
	seen := map[string]bool{}
	for range rapid.IntRange(1, 3).Draw(t, "disks") {
		if disk := w.pick(t); !seen[disk] {
			seen[disk] = true
			vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: disk, DiskName: disk})
		}
	}
	w.store.create(vm)
}

// restartVM has a VM give its host up, as one that is stopped with Release does,
// and want one again.
func (w *diskWorld) restartVM(t *rapid.T) {
	all := w.store.list()
	if len(all) == 0 {
		return
	}
	vm := all[rapid.IntRange(0, len(all)-1).Draw(t, "which VM")]
	if vm.Status.Placement == nil {
		return
	}
	w.gone(vm)
	_ = w.store.change(vm.Owner(), func(vm *v1alpha1.VirtualMachine) error {
		vm.Status.Epoch++
		vm.Status.Placement = nil
		return nil
	})
}

func (w *diskWorld) failClaims(t *rapid.T) {
	lose, mute := rapid.IntRange(0, 2).Draw(t, "lost"), rapid.IntRange(0, 2).Draw(t, "unanswered")
	d := w.api.disks
	d.mu.Lock()
	d.lose, d.mute = lose, mute
	d.mu.Unlock()
	w.createDisk(t)
	w.createVM(t)
	w.createVM(t)
	w.settleAll()
	d.mu.Lock()
	w.lost, w.muted = w.lost+lose-d.lose, w.muted+mute-d.mute
	d.lose, d.mute = 0, 0
	d.mu.Unlock()
}

func (w *diskWorld) restartScheduler(t *rapid.T) {
	w.createVM(t)
	w.sched.stop()
	w.restarts++
	w.startScheduler(t)
}

// --- what must hold ---

// settleAll waits until nothing moves, disks neither.
func (w *diskWorld) settleAll() {
	version := func() int {
		w.api.disks.mu.Lock()
		defer w.api.disks.mu.Unlock()
		return w.api.disks.version
	}
	for last := -1; ; {
		w.settle()
		now := version()
		if now == last {
			return
		}
		last = now
	}
}

func (w *diskWorld) check(t *rapid.T) { w.rests(t, "disks", w.settleAll, w.wrong) }

func (w *diskWorld) wrong() string {
	w.store.mu.Lock()
	refused := w.store.refused
	w.store.mu.Unlock()
	if len(refused) > 0 {
		return fmt.Sprintf("refused: %v", refused)
	}
	w.api.disks.mu.Lock()
	moved := w.api.disks.moved
	w.api.disks.mu.Unlock()
	if len(moved) > 0 {
		return fmt.Sprintf("disks whose home was moved: %v", moved)
	}
	all, vms := w.api.disks.list(), w.store.list()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.promisedTwice(all); err != nil {
		return err.Error()
	}
	users := map[string]string{}
	for _, vm := range vms {
		for _, named := range vm.Spec.Disks {
			if d := all[named.DiskName]; vm.Status.Placement == nil || d == nil || !d.Exclusive() {
				continue
			}
			if other := users[named.DiskName]; other != "" {
				return fmt.Sprintf("%s and %s both have disk %s", other, vm.Name, named.DiskName)
			}
			users[named.DiskName] = vm.Name
		}
	}
	for _, vm := range vms {
		if vm.Status.Placement != nil {
			continue
		}
		for name := range w.hosts {
			if w.fits(vm, name, all, users) {
				return fmt.Sprintf("%s waits (%s) and fits on %s", vm.Name, said(vm), name)
			}
		}
		if len(vm.Status.Conditions) == 0 {
			return vm.Name + " waits and nobody says why"
		}
		w.waiting++
	}
	return ""
}

// fits reckons, by other means than the plugin, whether the VM could be on the
// host; mu is held.
func (w *diskWorld) fits(vm *v1alpha1.VirtualMachine, host string, all map[string]*v1alpha1.VirtualDisk, users map[string]string) bool {
	need := map[string]int64{}
	for _, named := range vm.Spec.Disks {
		d := all[named.DiskName]
		if d == nil || users[d.Name] != "" {
			return false
		}
		if s := d.Status; s.NodeName != "" {
			if s.NodeName != host && (s.Store == "" || s.VolumeName == "") {
				return false
			}
			continue
		}
		if d.Spec.NodeName != "" && d.Spec.NodeName != host {
			return false
		}
		need[d.Pool()] += d.Spec.Size.Value()
		if from := d.CopyOf(); from != "" {
			source := all[from]
			if source == nil || source.Status.VolumeName == "" || source.Status.NodeName != host {
				return false
			}
			need[d.Pool()] += max(source.Status.Capacity-d.Spec.Size.Value(), 0)
		}
	}
	for _, pool := range w.hosts[host].Pools {
		left := pool.Allocatable
		for _, d := range all {
			if d.Status.NodeName != "" && d.Pool() == pool.Name && (pool.Store != "" || d.Status.NodeName == host) {
				left -= d.Claim()
			}
		}
		if left < need[pool.Name] {
			return false
		}
	}
	return true
}

// TestDisksTruth holds the real scheduler to it that a VM goes where its disks are
// and nowhere else, that no space is promised twice, and that no disk has two
// writers, whatever fails meanwhile.
func TestDisksTruth(t *testing.T) {
	cfg := shipped(t)
	setFlag(t, "rapid.checks", uint64(max(1, checksWanted(t)/10)))
	var mu sync.Mutex
	var sum diskWorld
	sum.world = &world{}
	given, fleets := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &world{cfg: cfg, api: newAPI(), hosts: map[string]*v1alpha1.HypervisorStatus{}, held: map[string]map[types.UID]v1alpha1.Placement{}}
		d := newDiskWorld(t, w)
		defer watch(w)()
		defer w.end()
		t.Repeat(map[string]func(*rapid.T){
			"create a disk":          d.createDisk,
			"create another disk":    d.createDisk,
			"delete a disk":          d.deleteDisk,
			"make volumes":           d.makeVolumes,
			"create a VM":            d.createVM,
			"create another VM":      d.createVM,
			"create one more VM":     d.createVM,
			"delete a VM":            w.delete,
			"delete another VM":      w.delete,
			"a VM is placed anew":    d.restartVM,
			"claims fail":            d.failClaims,
			"the scheduler restarts": d.restartScheduler,
			"":                       d.check,
		})
		mu.Lock()
		defer mu.Unlock()
		fleets++
		given += w.api.disks.given
		sum.created, sum.bound, sum.waiting, sum.restarts, sum.rescued = sum.created+w.created, sum.bound+w.bound, sum.waiting+w.waiting, sum.restarts+w.restarts, sum.rescued+w.rescued
		sum.disks, sum.deleted, sum.copies, sum.lost, sum.muted = sum.disks+d.disks, sum.deleted+d.deleted, sum.copies+d.copies, sum.lost+d.lost, sum.muted+d.muted
	})
	fmt.Printf("disks: %d fleets: %d disks (%d copies), %d given a home, %d deleted; %d VMs, %d bound, %d times one that waited was found to fit nowhere; %d claims lost, %d unanswered, %d schedulers restarted\n",
		fleets, sum.disks, sum.copies, given, sum.deleted, sum.created, sum.bound, sum.waiting, sum.lost, sum.muted, sum.restarts)
	for what, n := range map[string]int{"disk was given a home": given, "VM was bound": sum.bound, "VM had to wait": sum.waiting, "claim was lost": sum.lost, "claim was unanswered": sum.muted} {
		if n == 0 && !t.Failed() {
			t.Errorf("no %s: the test has shown nothing of it", what)
		}
	}
	if sum.rescued > rescuable(fleets) {
		t.Errorf("%d VMs waited until the scheduler's last resort: a plugin lacks a queueing hint", sum.rescued)
	}
}

func checksWanted(t *testing.T) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(flag.Lookup("rapid.checks").Value.String(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
