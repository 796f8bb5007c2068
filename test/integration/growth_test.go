package integration

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity"
)

// mayGrow has a VM's guest grow up to so many vCPUs and 4 GiB while it runs.
func mayGrow(cpu int32) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.MaxCPU, vm.Spec.Resources.MaxMemory = cpu, resource.NewQuantity(4*gib, resource.BinarySI)
	}
}

// ample is a namespace whose guests may have memory beyond their balloons.
func ample(t *testing.T) string {
	return namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
}

// runsOn makes a VM that runs on a host, as far as it is told.
func runsOn(t *testing.T, vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	t.Helper()
	create(t, vm)
	waitVM(t, vm.Namespace, vm.Name, bound)
	hostSays(t, vm.Namespace, vm.Name, v1alpha1.HostRunning, "", "")
	return readVM(t, vm.Namespace, vm.Name)
}

// size edits a VM's vCPUs and GiB, as a user does.
func size(t *testing.T, ns, name string, cpu int32, gb int64) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name = ns, name
	patch := fmt.Sprintf(`{"spec":{"resources":{"cpu":%d,"memory":"%dGi"}}}`, cpu, gb)
	if err := suite.client.Patch(t.Context(), vm, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func granted(cpu int32, gb int64) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		if said := bound(vm); said != "" {
			return said
		}
		if g := vm.Status.Placement.Granted; g.CPU != cpu || g.Memory != gb*gib {
			return fmt.Sprintf("granted %+v, want %d vCPUs and %dGi; %+v", g, cpu, gb, vm.Status.Conditions)
		}
		return ""
	}
}

// pends says that the VM's growth is pending for reason with a message that
// contains text; with no reason that it is not.
func pends(reason, text string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending)
		switch {
		case c == nil && reason == "":
			return ""
		case c == nil:
			return "has no condition ResizePending"
		case c.Reason != reason || !strings.Contains(c.Message, text) || c.ObservedGeneration != vm.Generation:
			return fmt.Sprintf("ResizePending of generation %d of %d is %s %q, want %q with %q", c.ObservedGeneration, vm.Generation, c.Reason, c.Message, reason, text)
		}
		return ""
	}
}

func TestAGuestGrowsWhereItIs(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	on := hosts(t, ns, 2, mid)[0]
	// What keeps others from the host is no matter for one that is there: it is
	// cordoned, and no other VM may be beside one like it.
	before := runsOn(t, newVM(ns, "vm", 2, 1, mayGrow(6), func(vm *v1alpha1.VirtualMachine) {
		vm.Labels = map[string]string{"app": "one"}
		vm.Spec.NodeSelector["kubernetes.io/hostname"] = on
		// Not even with one that has no label at all.
		vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{}, TopologyKey: corev1.LabelHostname, NamespaceSelector: &metav1.LabelSelector{},
		}}}}
	}))
	node := &corev1.Node{}
	get(t, types.NamespacedName{Name: on}, node)
	node.Spec.Unschedulable = true
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "full", Effect: corev1.TaintEffectNoSchedule})
	if err := suite.client.Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	writes := statusWrites(t, ns, "vm")
	size(t, ns, "vm", 5, 3)
	after := waitVM(t, ns, "vm", granted(5, 3))
	if said := pends("", "")(after); said != "" {
		t.Error(said)
	}
	want := before.Status.Placement.DeepCopy()
	want.Granted.CPU, want.Granted.Memory = 5, 3*gib
	if after.Status.Epoch != before.Status.Epoch || after.Status.Placement.NodeName != on || after.Status.Placement.Granted != want.Granted {
		t.Errorf("was %+v, now %+v", before.Status.Placement, after.Status.Placement)
	}
	stays(t, ns, "vm", granted(5, 3))
	if n := statusWrites(t, ns, "vm") - writes; n != 1 {
		t.Errorf("the scheduler wrote its status %d times", n)
	}
	eventOn(t, ns, "vm", "GrowthGranted")

	// Beyond what it was started for it waits for its next start.
	vm := readVM(t, ns, "vm")
	vm.Spec.Resources.CPU, vm.Spec.Resources.MaxCPU = 7, 8
	if err := suite.client.Update(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	stays(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string { return granted(5, 3)(vm) + pends("", "")(vm) })
	// What it gives back is granted no more when its host says so.
	size(t, ns, "vm", 5, 2)
	stays(t, ns, "vm", granted(5, 3))
	hostReports(t, ns, func(h *v1alpha1.HostStatus) { h.CPU, h.Memory = 5, 2*gib })
	waitVM(t, ns, "vm", granted(5, 2))
}

func TestGrowthWaitsForRoom(t *testing.T) {
	s := startScheduler(t, schedulerOptions{})
	ns := ample(t)
	on := hosts(t, ns, 1, mid)[0]
	hosts(t, ns+"-elsewhere", 2, mid) // of which it is not to be told
	runsOn(t, newVM(ns, "vm", 2, 1, mayGrow(6)))
	create(t, newVM(ns, "beside", 5, 1))
	waitVM(t, ns, "beside", boundTo(on))
	size(t, ns, "vm", 6, 2)
	vm := waitVM(t, ns, "vm", pends(v1alpha1.ReasonGrowthWaits, "its host has too little left for it to grow: need 4 vCPUs, largest free is 1"))
	if said := granted(2, 1)(vm); said != "" {
		t.Error(said)
	}
	if note := eventOn(t, ns, "vm", v1alpha1.ReasonGrowthWaits); !strings.Contains(note, "need 4 vCPUs") {
		t.Errorf("event %q", note)
	}
	// It takes nothing from others meanwhile, another scheduler knows of it, and
	// what it asks for may change.
	create(t, newVM(ns, "small", 1, 1))
	waitVM(t, ns, "small", boundTo(on))
	s.kill()
	startScheduler(t, schedulerOptions{})
	size(t, ns, "vm", 5, 2)
	waitVM(t, ns, "vm", pends(v1alpha1.ReasonGrowthWaits, "need 3 vCPUs, largest free is 0"))
	size(t, ns, "vm", 2, 1)
	waitVM(t, ns, "vm", pends("", ""))
	size(t, ns, "vm", 5, 2)
	waitVM(t, ns, "vm", pends(v1alpha1.ReasonGrowthWaits, "need 3 vCPUs"))

	remove(readVM(t, ns, "beside"))
	waitGone(t, ns, "beside")
	waitVM(t, ns, "vm", granted(5, 2))
	waitVM(t, ns, "vm", pends("", ""))

	// One that is stopped waits for nothing; one that is deleted leaves nothing.
	runsOn(t, newVM(ns, "other", 1, 1, mayGrow(8)))
	size(t, ns, "other", 8, 1)
	waitVM(t, ns, "other", pends(v1alpha1.ReasonGrowthWaits, "need 7 vCPUs"))
	hostSays(t, ns, "other", v1alpha1.HostStopped, "", "")
	waitVM(t, ns, "other", pends("", ""))
	hostSays(t, ns, "other", v1alpha1.HostRunning, "", "")
	waitVM(t, ns, "other", pends(v1alpha1.ReasonGrowthWaits, "need 7 vCPUs"))
	for _, name := range []string{"other", "vm", "small"} {
		remove(readVM(t, ns, name))
		waitGone(t, ns, name)
	}
	create(t, newVM(ns, "whole", 8, 1))
	waitVM(t, ns, "whole", boundTo(on))
}

func TestAHostThatRefusesGrowthHasItTakenBack(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	on := hosts(t, ns, 1, mid)[0]
	runsOn(t, newVM(ns, "vm", 2, 1, mayGrow(6)))
	size(t, ns, "vm", 6, 3)
	waitVM(t, ns, "vm", granted(6, 3))
	hostReports(t, ns, func(h *v1alpha1.HostStatus) {
		h.Refused = &v1alpha1.GrowthRefusal{
			Granted: v1alpha1.GuestSize{CPU: 6, Memory: 3 * gib}, Held: v1alpha1.GuestSize{CPU: 2, Memory: gib},
			Reason: v1alpha1.ReasonHostUnfit, Message: "the host is full",
		}
	})
	waitVM(t, ns, "vm", granted(2, 1))
	waitVM(t, ns, "vm", pends(v1alpha1.ReasonHostRefused, on+" does not let it grow, and is asked again in 5m0s: the host is full"))
	hostReports(t, ns, func(h *v1alpha1.HostStatus) { h.Refused = nil })
	stays(t, ns, "vm", granted(2, 1))
	// What was given back is others', and something else may be asked for.
	create(t, newVM(ns, "beside", 4, 1))
	waitVM(t, ns, "beside", boundTo(on))
	size(t, ns, "vm", 4, 3)
	waitVM(t, ns, "vm", granted(4, 3))
	waitVM(t, ns, "vm", pends("", ""))
}

// Growth and new VMs take the last of a host from each other: it is never given
// twice, and none of it is lost.
func TestGrowthAndNewVMsShareWhatIsLeft(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	room := capacity.Resources{CPU: 64, Memory: 200 * gib}
	on := hosts(t, ns, 1, room)[0]
	const guests, step = 8, 4
	for i := range guests {
		runsOn(t, newVM(ns, fmt.Sprintf("grows-%d", i), 2, 1, mayGrow(2+step*4)))
	}
	// They ask for 8 x 16 more, the new ones for 12 x 4, and 48 are left.
	var all sync.WaitGroup
	for i := range guests {
		all.Go(func() {
			for n := 1; n <= 4; n++ {
				size(t, ns, fmt.Sprintf("grows-%d", i), int32(2+step*n), 1)
			}
		})
	}
	for i := range 12 {
		all.Go(func() { create(t, newVM(ns, fmt.Sprintf("new-%d", i), step, 1)) })
	}
	all.Wait()
	used := func() (cpu int64, waits int) {
		list := &v1alpha1.VirtualMachineList{}
		if err := suite.client.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			vm := &list.Items[i]
			c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending)
			if vm.Status.Placement == nil {
				waits++
				continue
			}
			cpu += int64(vm.Status.Placement.Granted.CPU)
			if c != nil && c.ObservedGeneration == vm.Generation {
				waits++
			}
		}
		return cpu, waits
	}
	var cpu int64
	for deadline := time.Now().Add(eventually); ; time.Sleep(100 * time.Millisecond) {
		var waits int
		if cpu, waits = used(); cpu > room.CPU {
			t.Fatalf("%d vCPUs of %d are granted on %s", cpu, room.CPU, on)
		}
		// Whoever takes the last 4 leaves too little for any other.
		if cpu > room.CPU-step && waits > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d vCPUs are granted, %d VMs say that they wait", cpu, room.CPU, waits)
		}
	}
	// As much as is left is found, and no more.
	if left := int32(room.CPU - cpu); left > 0 {
		create(t, newVM(ns, "rest", left, 1))
		waitVM(t, ns, "rest", boundTo(on))
	}
	if cpu, _ := used(); cpu != room.CPU {
		t.Errorf("%d vCPUs of %d are granted", cpu, room.CPU)
	}
}

// hostReports changes status.host of the VM vm as the executor of its host would.
func hostReports(t *testing.T, ns string, change func(*v1alpha1.HostStatus)) {
	t.Helper()
	_, err := vmstatus.New(suite.client).Patch(t.Context(), readVM(t, ns, "vm"), func(s *v1alpha1.VirtualMachineStatus) { change(s.Host) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPlacementChangesOnlyInWhatItGrants(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	create(t, newVM(ns, "vm", 2, 1, mayGrow(6), func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "none" }))
	write := func(change func(*v1alpha1.VirtualMachineStatus)) error {
		_, err := vmstatus.New(suite.client).Patch(t.Context(), readVM(t, ns, "vm"), change)
		return err
	}
	place := func(s *v1alpha1.VirtualMachineStatus) {
		s.Placement = &v1alpha1.Placement{
			NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 2, Memory: gib, Overhead: 1, MaxCPU: 6, MaxMemory: 4 * gib},
			Cells: []v1alpha1.PlacedCell{{ID: 1, CPU: 2, CPUs: "3,4"}}, Devices: []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:3b:00.0"}},
		}
	}
	if err := write(place); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*v1alpha1.Placement){
		"its host":                func(p *v1alpha1.Placement) { p.NodeName = "b" },
		"its CPUs":                func(p *v1alpha1.Placement) { p.Cells[0].CPUs = "3,5" },
		"its cells":               func(p *v1alpha1.Placement) { p.Cells = nil },
		"its devices":             func(p *v1alpha1.Placement) { p.Devices = nil },
		"its overhead":            func(p *v1alpha1.Placement) { p.Granted.Overhead = 2 },
		"its pages":               func(p *v1alpha1.Placement) { p.Granted.PageSize = v1alpha1.PageSize2Mi },
		"how far it may grow":     func(p *v1alpha1.Placement) { p.Granted.MaxCPU = 8 },
		"that it may grow":        func(p *v1alpha1.Placement) { p.Granted.MaxMemory = 0 },
		"more CPUs than it may":   func(p *v1alpha1.Placement) { p.Granted.CPU = 7 },
		"more memory than it may": func(p *v1alpha1.Placement) { p.Granted.Memory = 5 * gib },
	} {
		refusedBecause(t, name, write(func(s *v1alpha1.VirtualMachineStatus) { change(s.Placement) }), "only granted.cpu and granted.memory may change")
	}
	for _, to := range []v1alpha1.GuestSize{{CPU: 6, Memory: 4 * gib}, {CPU: 3, Memory: gib / 2}} {
		if err := write(func(s *v1alpha1.VirtualMachineStatus) {
			s.Placement.Granted.CPU, s.Placement.Granted.Memory = to.CPU, to.Memory
		}); err != nil {
			t.Errorf("%+v: %v", to, err)
		}
	}
	// Who decided on another grant than there is changes nothing.
	stale := readVM(t, ns, "vm")
	if err := write(func(s *v1alpha1.VirtualMachineStatus) { s.Placement.Granted.CPU = 4 }); err != nil {
		t.Fatal(err)
	}
	asked := 0
	_, err := vmstatus.New(suite.client).Patch(t.Context(), stale, func(s *v1alpha1.VirtualMachineStatus) {
		if asked++; s.Placement.Granted.CPU == 3 {
			s.Placement.Granted.CPU = 6
		}
	})
	if got := readVM(t, ns, "vm").Status.Placement.Granted.CPU; errors.Is(err, vmstatus.ErrStale) || got != 4 || asked != 2 {
		t.Errorf("granted %d, asked %d times, %v", got, asked, err)
	}
}

// From the edit to what the guest has, on a host with an executor.
func TestASimulatedGuestGrows(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := ample(t)
	startHost(t, ns)
	create(t, newVM(ns, "vm", 2, 1, mayGrow(6)))
	has := func(cpu int32, gb int64) func(*v1alpha1.VirtualMachine) string {
		return func(vm *v1alpha1.VirtualMachine) string {
			if h := vm.Status.Host; h == nil || h.State != v1alpha1.HostRunning || h.CPU != cpu || h.Memory != gb*gib {
				return fmt.Sprintf("its host says %+v, want %d vCPUs and %dGi", h, cpu, gb)
			}
			return ""
		}
	}
	before := waitVM(t, ns, "vm", has(2, 1))
	time.Sleep(shortly)
	writes := statusWrites(t, ns, "vm")
	size(t, ns, "vm", 5, 3)
	after := waitVM(t, ns, "vm", has(5, 3))
	time.Sleep(shortly)
	n := statusWrites(t, ns, "vm") - writes
	t.Logf("growing took %d writes of the status", n)
	if n != 2 || granted(5, 3)(after) != "" || after.Status.ObservedGeneration != after.Generation {
		t.Errorf("%d writes; %+v", n, after.Status)
	}
	if !after.Status.Host.StartedAt.Equal(before.Status.Host.StartedAt) || after.Status.Epoch != before.Status.Epoch {
		t.Errorf("it was started anew: %+v", after.Status)
	}
	// It gives back what is asked of it, and vCPUs wait for a restart.
	size(t, ns, "vm", 1, 2)
	waitVM(t, ns, "vm", granted(5, 2))
	waitVM(t, ns, "vm", has(5, 2))
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionRestartRequired)
		if c == nil || c.Message != "spec.resources.cpu takes effect at the next start, for which the VM is placed anew" {
			return fmt.Sprintf("RestartRequired: %+v", c)
		}
		return ""
	})
}
