package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/libvirt"
)

// embeddedHost is a host that vm-executor looks after, with its own identity, on
// libvirt's test driver.
type embeddedHost struct {
	t       *testing.T
	name    string
	libvirt libvirt.Host
	// stop ends the executor; the host runs on.
	stop func()
}

func newEmbeddedHost(t *testing.T, ns, name string, pools ...libvirt.Pool) *embeddedHost {
	t.Helper()
	return embed(t, ns, name, libvirt.Simulation{CPUs: 8, Memory: 16 << 30, Pools: pools})
}

// embed is newEmbeddedHost for a host that is described.
func embed(t *testing.T, ns, name string, simulation libvirt.Simulation) *embeddedHost {
	t.Helper()
	host, err := libvirt.Simulate(t.TempDir(), name, simulation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	h := &embeddedHost{t: t, name: name, libvirt: host}
	// Once its executor has ended, which makes both anew.
	t.Cleanup(func() {
		remove(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		remove(&v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
	h.start(ns)
	return h
}

// start runs an executor that remembers nothing.
func (h *embeddedHost) start(ns string) {
	h.t.Helper()
	cfg, err := suite.plane.as("domus:executor:"+h.name, "domus:executors")
	if err != nil {
		h.t.Fatal(err)
	}
	live, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		h.t.Fatal(err)
	}
	watch, err := executor.NewWatch(cfg, suite.plane.scheme, live, h.name)
	if err != nil {
		h.t.Fatal(err)
	}
	agent := executor.NewAgent(executor.Options{
		Config: hostconfig.HostConfiguration{
			NodeName: h.name, RegisterNode: true, CPUOvercommit: resource.MustParse("1"), DomainType: "auto", Mode: hostconfig.ModeDedicated,
			Labels: map[string]string{"test": ns}, ImageNetworks: []string{"127.0.0.0/8"},
		},
		Host: h.libvirt, Live: live, VMs: watch, Operations: watch, Disks: watch, Images: watch, Snapshots: watch, Networks: watch, Recorder: events.NewFakeRecorder(1000), Clock: clock.RealClock{}, Version: "test",
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { agent.Run(ctx) })
	running.Go(func() {
		if err := watch.Run(ctx, agent); err != nil {
			h.t.Errorf("the watch: %v", err)
		}
	})
	h.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.t.Cleanup(h.stop)
}

// guestEnds has the VM's guest end, by itself or because it is killed.
func (h *embeddedHost) guestEnds(vm *v1alpha1.VirtualMachine, how string) {
	h.t.Helper()
	end := h.libvirt.Destroy
	if how == "shut down" {
		end = h.libvirt.Shutdown
	}
	if err := end(h.t.Context(), vm.DomainUUID()); err != nil {
		h.t.Fatal(err)
	}
}

// state is the VM's state in words: "Stopped", "Ended GuestShutDown", and
// "unbound" after the phase of one that has no host.
func state(vm *v1alpha1.VirtualMachine) string {
	words := string(vm.Status.Phase)
	switch host := vm.Status.Host; {
	case vm.Status.Placement == nil:
		words += " unbound"
	case host == nil || host.Epoch != vm.Status.Epoch:
	default:
		words = strings.TrimSpace(words + " " + host.Reason)
	}
	return words
}

func stateIs(want string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		if got := state(vm); got != want {
			return fmt.Sprintf("it is %s, want %s: %+v", got, want, vm.Status)
		}
		return ""
	}
}

// set changes a VM's spec as a user does.
func set(t *testing.T, ns, name string, change func(*v1alpha1.VirtualMachineSpec)) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	get(t, client.ObjectKey{Namespace: ns, Name: name}, vm)
	before := vm.DeepCopy()
	change(&vm.Spec)
	if err := suite.client.Patch(t.Context(), vm, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func power(s v1alpha1.PowerState) func(*v1alpha1.VirtualMachineSpec) {
	return func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = s }
}

// A VM is walked through all power states, with the scheduler, the API server and
// the executor as they are, and a guest that is simulated.
func TestAVMGoesThroughAllPowerStates(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	h := newEmbeddedHost(t, ns, ns+"-host")
	create(t, newVM(ns, "vm", 2, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.WhenStopped = v1alpha1.SlotRelease }))
	first := waitVM(t, ns, "vm", stateIs("Running"))
	for _, step := range []struct {
		state v1alpha1.PowerState
		want  string
	}{
		{v1alpha1.PowerPaused, "Paused"},
		{v1alpha1.PowerRunning, "Running"},
		{v1alpha1.PowerSuspended, "Suspended"},
		{v1alpha1.PowerRunning, "Running"},
	} {
		set(t, ns, "vm", power(step.state))
		vm := waitVM(t, ns, "vm", stateIs(step.want))
		if vm.Status.Epoch != first.Status.Epoch || !vm.Status.Host.StartedAt.Equal(first.Status.Host.StartedAt) {
			t.Fatalf("%s: epoch %d, started at %s: want %d, %s", step.want, vm.Status.Epoch, vm.Status.Host.StartedAt, first.Status.Epoch, first.Status.Host.StartedAt)
		}
	}

	// Stopped, it keeps nothing on the host, and is queued only when started.
	set(t, ns, "vm", power(v1alpha1.PowerStopped))
	vm := waitVM(t, ns, "vm", stateIs("Stopped unbound"))
	if said := waiting(v1alpha1.ReasonReleased, "spec.powerState")(vm); said != "" {
		t.Error(said)
	}
	if vm.Status.Epoch != first.Status.Epoch+1 {
		t.Errorf("epoch %d, want one more than %d", vm.Status.Epoch, first.Status.Epoch)
	}
	if all, err := h.libvirt.Domains(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("left on the host: %v, %v", all, err)
	}
	stays(t, ns, "vm", unbound)
	set(t, ns, "vm", power(v1alpha1.PowerPaused))
	stays(t, ns, "vm", unbound)
	set(t, ns, "vm", power(v1alpha1.PowerRunning))
	vm = waitVM(t, ns, "vm", stateIs("Running"))
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("Scheduled is %+v", c)
	}

	// What it does when stopped may change while it is.
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) {
		s.PowerState, s.WhenStopped = v1alpha1.PowerStopped, v1alpha1.SlotHold
	})
	waitVM(t, ns, "vm", stateIs("Stopped"))
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) { s.WhenStopped = v1alpha1.SlotRelease })
	waitVM(t, ns, "vm", stateIs("Stopped unbound"))

	// Started where there is no room, it waits.
	set(t, ns, "vm", func(s *v1alpha1.VirtualMachineSpec) {
		s.PowerState, s.Resources.CPU = v1alpha1.PowerRunning, 64
	})
	waitVM(t, ns, "vm", stateIs("Pending unbound"))
}

// Guests end in each way under each policy, while the executor looks and while it
// does not.
// leaves deletes a VM and waits until its host has let it go.
func leaves(t *testing.T, ns, name string) {
	t.Helper()
	ctx := context.Background()
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name = ns, name
	if err := suite.client.Delete(ctx, vm); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if apierrors.IsNotFound(suite.client.Get(ctx, client.ObjectKeyFromObject(vm), vm)) {
			return
		}
	}
	t.Errorf("VM %s/%s is not let go: %+v", ns, name, vm.Status)
}

func TestEachRunPolicy(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	h := newEmbeddedHost(t, ns, ns+"-host")
	for policy, wants := range map[v1alpha1.RunPolicy]struct{ shutDown, killed string }{
		v1alpha1.RunAlways:    {"Running", "Running"},
		v1alpha1.RunOnFailure: {"Ended GuestShutDown", "Running"},
		v1alpha1.RunManual:    {"Ended GuestShutDown", "Ended GuestFailed"},
		v1alpha1.RunOnce:      {"Ended GuestShutDown", "Ended GuestFailed"},
	} {
		for how, want := range map[string]string{"shut down": wants.shutDown, "killed": wants.killed} {
			for _, away := range []bool{false, true} {
				name := strings.ToLower(fmt.Sprintf("%s-%s-%t", policy, strings.ReplaceAll(how, " ", "-"), away))
				t.Run(name, func(t *testing.T) {
					create(t, newVM(ns, name, 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = policy }))
					// Its host has to give it up, or the next ones find it full.
					t.Cleanup(func() { leaves(t, ns, name) })
					before := waitVM(t, ns, name, stateIs("Running"))
					if away {
						h.stop()
					}
					h.guestEnds(before, how)
					if away {
						h.start(ns)
					}
					waitVM(t, ns, name, func(vm *v1alpha1.VirtualMachine) string {
						if want == "Running" && vm.Status.Host.StartedAt.Equal(before.Status.Host.StartedAt) {
							return "it was not started again"
						}
						return stateIs(want)(vm)
					})
					if want == "Running" {
						return
					}
					stays(t, ns, name, stateIs(want))
					set(t, ns, name, power(v1alpha1.PowerStopped))
					waitVM(t, ns, name, stateIs("Stopped"))
					set(t, ns, name, power(v1alpha1.PowerRunning))
					if policy == v1alpha1.RunOnce {
						waitVM(t, ns, name, stateIs("Ended RanOnce"))
						return
					}
					waitVM(t, ns, name, stateIs("Running"))
				})
			}
		}
	}
}

// TestAVMThatHasNoHostAndShallNotRun: nobody seeks a host for it, and its status
// says so.
func TestAVMThatHasNoHostAndShallNotRun(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	rests := func(state v1alpha1.PowerState) func(*v1alpha1.VirtualMachine) string {
		return func(vm *v1alpha1.VirtualMachine) string {
			c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
			if vm.Status.Phase != v1alpha1.PhaseStopped || c == nil || c.Reason != v1alpha1.ReasonNoHostSought || !strings.Contains(c.Message, string(state)) {
				return fmt.Sprintf("is %s, %+v", vm.Status.Phase, c)
			}
			return ""
		}
	}
	waits := func(vm *v1alpha1.VirtualMachine) string {
		c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
		if vm.Status.Phase != v1alpha1.PhasePending || c == nil || c.Reason != v1alpha1.ReasonUnschedulable {
			return fmt.Sprintf("is %s, %+v", vm.Status.Phase, c)
		}
		return ""
	}
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerPaused }))
	waitVM(t, ns, "vm", rests(v1alpha1.PowerPaused))
	set(t, ns, "vm", power(v1alpha1.PowerRunning))
	waitVM(t, ns, "vm", waits)
	set(t, ns, "vm", power(v1alpha1.PowerStopped))
	waitVM(t, ns, "vm", rests(v1alpha1.PowerStopped))
}

// TestAVMIsStoppedWhileVMSchedulerIsAway: what a guest shall do needs nobody's
// leave. What could be wrong with a spec is looked at, or refused.
func TestAVMIsStoppedWhileVMSchedulerIsAway(t *testing.T) {
	s := startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	create(t, newVM(ns, "vm", 1, 1))
	s.kill()
	eventuallyRefused(t, func() error {
		return suite.client.Create(t.Context(), newVM(ns, "other", 1, 1), client.DryRunAll)
	}, "failed calling webhook")
	set(t, ns, "vm", func(spec *v1alpha1.VirtualMachineSpec) {
		spec.PowerState, spec.RunPolicy, spec.WhenStopped = v1alpha1.PowerStopped, v1alpha1.RunManual, v1alpha1.SlotRelease
	})
	eventuallyRefused(t, func() error {
		vm := &v1alpha1.VirtualMachine{}
		get(t, types.NamespacedName{Namespace: ns, Name: "vm"}, vm)
		before := vm.DeepCopy()
		vm.Spec.Resources.CPU = 2
		return suite.client.Patch(t.Context(), vm, client.MergeFrom(before))
	}, "failed calling webhook")
}
