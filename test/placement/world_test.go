package placement

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa/oracle"
	"domus.dev/domus/pkg/podless"
)

// urgent is the PriorityClass of VMs that may evict others.
const urgent = "urgent"

// world is a fleet of hosts, its VMs, and the scheduler that places them.
type world struct {
	cfg   *config.KubeSchedulerConfiguration
	api   *api
	store *store
	sched *running

	// mu is taken while the store's is held, when a binding is accepted: whoever
	// has it must not ask the store.
	mu sync.Mutex
	// hosts are the reports, held what each has accepted, by name of the host.
	// Hosts are changed and counted by the test's own goroutine.
	hosts map[string]*v1alpha1.HypervisorStatus
	held  map[string]map[types.UID]v1alpha1.Placement

	created, bound, evicted, failed, restarts, waiting, rescued, growing int
	asked                                                                asked
}

func newWorld(t *rapid.T, cfg *config.KubeSchedulerConfiguration) *world {
	w := &world{
		cfg: cfg, api: newAPI(),
		hosts: map[string]*v1alpha1.HypervisorStatus{}, held: map[string]map[types.UID]v1alpha1.Placement{},
	}
	w.store = newStore(w.accept)
	w.store.resize = w.resized
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: urgent}, Value: 1000}
	if err := w.api.nodes.Tracker().Add(class); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, 3).Draw(t, "hosts") {
		w.addHost(t)
	}
	w.startScheduler(t)
	return w
}

func (w *world) startScheduler(t *rapid.T) {
	var err error
	if w.sched, err = w.api.start(w.cfg, w.store); err != nil {
		t.Fatal(err)
	}
}

func (w *world) end() { w.sched.stop() }

// accept is what the host of a VM that was bound does: it takes the placement
// in, and says what is broken by it.
func (w *world) accept(vm *v1alpha1.VirtualMachine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := vm.Status.Placement
	held := w.held[p.NodeName]
	for uid, other := range held {
		if uid == vm.UID {
			return fmt.Errorf("%s is bound to %s, which holds it already: %+v", vm.Name, p.NodeName, other)
		}
	}
	held[vm.UID] = *p
	w.bound++
	if broken := oracle.Broken(w.hosts[p.NodeName], placements(held)); broken != "" {
		return fmt.Errorf("%s does not fit on %s, where it was placed as %+v: %s", vm.Name, p.NodeName, *p, broken)
	}
	return nil
}

func placements(held map[types.UID]v1alpha1.Placement) []v1alpha1.Placement {
	var out []v1alpha1.Placement
	for _, p := range held {
		out = append(out, p)
	}
	return out
}

// gone is what a host does that was asked to give a VM up.
func (w *world) gone(vm *v1alpha1.VirtualMachine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := vm.Status.Placement; p != nil {
		delete(w.held[p.NodeName], vm.UID)
	}
}

// --- what may happen ---

func (w *world) create(t *rapid.T) { w.store.create(w.drawVM(t, "")) }

func (w *world) createSeveral(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "VMs") {
		w.create(t)
	}
}

func (w *world) createUrgent(t *rapid.T) { w.store.create(w.drawVM(t, urgent)) }

func (w *world) drawVM(t *rapid.T, class string) *v1alpha1.VirtualMachine {
	w.created++
	r := *oracle.DrawRequest(t)
	// Most are small beside a host and want no device, or few would find a place.
	if rapid.IntRange(0, 3).Draw(t, "large") > 0 {
		r.Granted.CPU = min(r.Granted.CPU, 3)
	}
	if rapid.IntRange(0, 2).Draw(t, "with devices") > 0 {
		r.Devices = nil
	}
	name := fmt.Sprintf("vm-%d", w.created)
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Generation: int64(w.created),
		// Who came first goes first, to the second.
		CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000+int64(w.created), 0)),
	}}
	vm.Spec.SchedulerName = rapid.SampledFrom([]string{v1alpha1.DefaultSchedulerName, "vm-packing"}).Draw(t, "profile")
	vm.Spec.PowerState = v1alpha1.PowerRunning
	vm.Spec.PriorityClassName = class
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{
		CPU: r.Granted.CPU, Memory: *resource.NewQuantity(r.Granted.Memory, resource.BinarySI),
		NUMA: r.NUMA, CPUPolicy: r.CPUPolicy, Threads: r.Threads, Devices: r.Devices,
		Overhead: resource.NewQuantity(r.Granted.Overhead, resource.BinarySI),
	}
	if r.Granted.PageSize != "" {
		vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: r.Granted.PageSize}
	}
	w.letGrow(t, vm)
	return vm
}

// delete removes a VM, bound or not.
func (w *world) delete(t *rapid.T) {
	all := w.store.list()
	if len(all) == 0 {
		return
	}
	vm := all[rapid.IntRange(0, len(all)-1).Draw(t, "which VM")]
	w.gone(vm)
	w.store.remove(vm.Name)
}

func (w *world) failBindings(t *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(t, "bindings")
	w.store.mu.Lock()
	w.store.failBinds += n
	w.store.mu.Unlock()
	w.createSeveral(t)
	w.settle()
	w.store.mu.Lock()
	w.failed += n - w.store.failBinds
	w.store.failBinds = 0
	w.store.mu.Unlock()
}

func (w *world) restart(t *rapid.T) {
	// Bindings that are on their way when it ends are stored or not.
	w.createSeveral(t)
	w.sched.stop()
	w.restarts++
	w.startScheduler(t)
}

func (w *world) addHost(t *rapid.T) {
	if len(w.hosts) >= 4 {
		return
	}
	name := fmt.Sprintf("host-%d", len(w.hosts))
	w.mu.Lock()
	w.held[name] = map[types.UID]v1alpha1.Placement{}
	w.mu.Unlock()
	w.report(t, name, oracle.DrawHostOf(t, rapid.IntRange(1, 4).Draw(t, "cells")))
}

// growHost gives a host more of everything in its first cell.
func (w *world) growHost(t *rapid.T) {
	name := fmt.Sprintf("host-%d", rapid.IntRange(0, len(w.hosts)-1).Draw(t, "which host"))
	w.mu.Lock()
	status := w.hosts[name].DeepCopy()
	w.mu.Unlock()
	const more = 8 << 20
	status.Cells[0].Memory += more
	status.Allocatable.Memory += more
	w.report(t, name, status)
}

// report says what a host has: in its Hypervisor, and then on its Node.
func (w *world) report(t *rapid.T, name string, status *v1alpha1.HypervisorStatus) {
	w.mu.Lock()
	known := w.hosts[name] != nil
	w.hosts[name] = status
	w.mu.Unlock()
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: *status}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	node.Status.Allocatable = capacity.FromHost(status.Allocatable).List()
	w.api.hypervisors.set(hv)
	put := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	nodes := corev1.SchemeGroupVersion.WithResource("nodes")
	if known {
		put(w.api.nodes.Tracker().Update(nodes, node, ""))
		return
	}
	put(w.api.nodes.Tracker().Create(nodes, node, ""))
}

// --- what must hold ---

// check waits until the scheduler has nothing to do and holds every promise.
func (w *world) check(t *rapid.T) { w.rests(t, "placement", w.settle, w.wrong) }

// rests waits until nothing is wrong any more: what looks so may only not have come
// to rest yet.
func (w *world) rests(t *rapid.T, what string, settle func(), wrong func() string) {
	last := ""
	for began := time.Now(); ; {
		settle()
		now := wrong()
		waited := time.Since(began)
		switch {
		case now == "" && waited > prompt:
			w.rescued++
			fmt.Printf("%s: after %s the last resort helped: %s\n", what, waited, last)
			return
		case now == "":
			return
		case waited > patience:
			t.Fatal(now)
		}
		last = now
	}
}

const (
	// calm is how long nothing must have happened.
	calm = 3 * time.Millisecond
	// prompt is how long it may take on a busy machine until an event has had
	// its effect. What takes longer was saved by the scheduler's last resort,
	// which looks every 30 s for VMs that no event spoke for.
	prompt = 20 * time.Second
	// patience is how long a promise may look broken before it is.
	patience = 50 * time.Second
)

// settle lets hosts give up what they were asked to until nothing moves.
func (w *world) settle() {
	var last int
	for since := time.Now(); time.Since(since) < calm; time.Sleep(500 * time.Microsecond) {
		released := w.store.release(w.gone)
		w.evicted += released
		w.store.mu.Lock()
		version := w.store.version
		w.store.mu.Unlock()
		busy := len(w.sched.queue.PodsInActiveQ()) + len(w.sched.queue.InFlightPods())
		if released > 0 || busy > 0 || version != last {
			since, last = time.Now(), version
		}
	}
}

// wrong says which promise is broken, or nothing.
func (w *world) wrong() string {
	w.store.mu.Lock()
	refused := slices.Clone(w.store.refused)
	w.store.mu.Unlock()
	if len(refused) > 0 {
		return fmt.Sprintf("refused: %v", refused)
	}
	if n := w.sched.fleet.Reservations(); n > 0 && !w.reservedByBound(n) {
		return fmt.Sprintf("%d reservations have leaked", n)
	}
	var waiting, growing []*v1alpha1.VirtualMachine
	for _, vm := range w.store.list() {
		switch {
		case vm.Status.Placement == nil:
			waiting = append(waiting, vm)
		case podless.GrowthOf(vm) != nil:
			growing = append(growing, vm)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, vm := range waiting {
		request := requestOf(vm)
		for name, status := range w.hosts {
			if promised(waiting, vm, name) || elsewhere(vm, name) {
				continue
			}
			if fits, known := oracle.Fits(status, placements(w.held[name]), request); fits && known {
				return fmt.Sprintf("%s waits (%s) and fits on %s:\n  asks for %+v\n  host %+v\n  held %+v", vm.Name, said(vm), name, request, *status, w.held[name])
			}
		}
		if len(vm.Status.Conditions) == 0 {
			return vm.Name + " waits and nobody says why"
		}
		n++
	}
	w.waiting += n
	w.growing += len(growing)
	return w.wrongGrowth(waiting, growing)
}

// reservedByBound says whether at most as many reservations are held as VMs are
// bound: one ends when its host is counted the next time.
func (w *world) reservedByBound(n int) bool {
	bound := 0
	for _, vm := range w.store.list() {
		if vm.Status.Placement != nil && (len(vm.Status.Placement.Cells) > 0 || len(vm.Status.Placement.Devices) > 0) {
			bound++
		}
	}
	return n <= bound
}

// promised says whether room on the host is being made for another VM, one that
// goes before this one: that is no room for it. Whether the other one gets it is
// asked of that one.
func promised(waiting []*v1alpha1.VirtualMachine, vm *v1alpha1.VirtualMachine, host string) bool {
	return slices.ContainsFunc(waiting, func(other *v1alpha1.VirtualMachine) bool {
		return other.Name != vm.Name && other.Status.NominatedNodeName == host &&
			(other.Spec.PriorityClassName == vm.Spec.PriorityClassName || other.Spec.PriorityClassName == urgent)
	})
}

func said(vm *v1alpha1.VirtualMachine) string {
	var all []string
	for _, c := range vm.Status.Conditions {
		all = append(all, c.Reason+": "+c.Message)
	}
	return strings.Join(all, "; ")
}

func requestOf(vm *v1alpha1.VirtualMachine) oracle.Request {
	r := vm.Spec.Resources
	out := oracle.Request{NUMA: r.NUMA, CPUPolicy: r.CPUPolicy, Threads: r.Threads, Devices: r.Devices}
	out.Granted = v1alpha1.GrantedResources{CPU: r.CPU, Memory: r.Memory.Value(), Overhead: r.Overhead.Value()}
	if r.Hugepages != nil {
		out.Granted.PageSize = r.Hugepages.PageSize
	}
	return out
}
