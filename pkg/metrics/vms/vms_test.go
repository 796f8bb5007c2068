package vms

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// newVM is a VM of 2 vCPUs and 1 GiB that waits for a host of a profile of its own.
func newVM(name, profile string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(start)}}
	vm.Spec.SchedulerName = profile
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("1Gi")}
	vm.Status.Phase = v1alpha1.PhasePending
	return vm
}

func bound(vm *v1alpha1.VirtualMachine, node string) *v1alpha1.VirtualMachine {
	vm = vm.DeepCopy()
	vm.Status.Placement = &v1alpha1.Placement{NodeName: node, Granted: v1alpha1.GrantedResources{CPU: 4, Memory: 2 << 30}}
	vm.Status.Phase = v1alpha1.PhaseScheduled
	return vm
}

func says(vm *v1alpha1.VirtualMachine, state v1alpha1.HostState, reason string, at time.Time) *v1alpha1.VirtualMachine {
	vm = vm.DeepCopy()
	started := metav1.NewTime(at)
	vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: state, Reason: reason, StartedAt: &started}
	return vm
}

// freshWaits are waits of which nothing is counted yet: counters are the process's.
func freshWaits() *waits {
	for _, c := range metrics.SchedulerCollectors() {
		if counted, is := c.(interface{ Reset() }); is {
			counted.Reset()
		}
	}
	return newWaits()
}

// told are the values of a metric with these labels, of what is counted.
func told(t *testing.T, name string, labels map[string]string) (count uint64, sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	for _, c := range metrics.SchedulerCollectors() {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if labels[l.GetName()] != l.GetValue() {
					continue series
				}
			}
			if h := m.GetHistogram(); h != nil {
				return h.GetSampleCount(), h.GetSampleSum()
			}
			return 1, m.GetCounter().GetValue()
		}
	}
	return 0, 0
}

func TestTheWayToARunningGuestIsTimed(t *testing.T) {
	w, of := freshWaits(), map[string]string{"profile": "way"}
	vm := newVM("a", "way")
	w.see(nil, vm, false, start.Add(300*time.Millisecond))
	if since := w.since(vm); !since.Equal(start.Add(300 * time.Millisecond)) {
		t.Errorf("it waits since %s", since)
	}
	placed := bound(vm, "h")
	w.see(vm, placed, false, start.Add(400*time.Millisecond))
	if since := w.since(placed); !since.IsZero() {
		t.Errorf("it has a host and waits since %s", since)
	}
	w.see(placed, placed, false, start.Add(time.Second)) // an edit of its labels
	runs := says(placed, v1alpha1.HostRunning, "", start)
	w.see(placed, runs, false, start.Add(2400*time.Millisecond))
	w.see(runs, runs, false, start.Add(time.Hour))
	for name, want := range map[string]float64{
		"domus_vm_bound_duration_seconds": 0.1, "domus_vm_running_duration_seconds": 2.1, "domus_vm_start_duration_seconds": 2,
	} {
		if n, sum := told(t, name, of); n != 1 || sum < want-1e-9 || sum > want+1e-9 {
			t.Errorf("%s: %d times, %g s together, want once %g", name, n, sum, want)
		}
	}
	if len(w.byUID) != 0 {
		t.Error("a VM that runs is still waited for")
	}
}

func TestWaysThatAreNotTimed(t *testing.T) {
	for name, way := range map[string]func(w *waits, vm *v1alpha1.VirtualMachine){
		"bound before this process": func(w *waits, vm *v1alpha1.VirtualMachine) {
			placed := bound(vm, "h")
			w.see(nil, placed, true, start)
			w.see(placed, says(placed, v1alpha1.HostRunning, "", start), false, start.Add(time.Hour))
		},
		"switched off while it waits": func(w *waits, vm *v1alpha1.VirtualMachine) {
			w.see(nil, vm, false, start)
			off := vm.DeepCopy()
			off.Spec.PowerState = v1alpha1.PowerStopped
			w.see(vm, off, false, start)
		},
		"deleted while it waits": func(w *waits, vm *v1alpha1.VirtualMachine) {
			w.see(nil, vm, false, start)
			w.forget(vm.UID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := freshWaits()
			way(w, newVM("a", name))
			if n, _ := told(t, "domus_vm_running_duration_seconds", map[string]string{"profile": name}); n != 0 || len(w.byUID) != 0 {
				t.Errorf("timed %d times, and %d are waited for", n, len(w.byUID))
			}
		})
	}
}

func TestAVMThatLosesItsHostIsTimedAnew(t *testing.T) {
	w, of := freshWaits(), map[string]string{"profile": "anew"}
	vm := newVM("a", "anew")
	w.see(nil, vm, false, start)
	placed := bound(vm, "h")
	w.see(vm, placed, false, start.Add(time.Second))
	refused := says(placed, v1alpha1.HostRejected, v1alpha1.ReasonHostUnfit, start)
	w.see(placed, refused, false, start.Add(2*time.Second))
	w.see(refused, refused, false, start.Add(2*time.Second))
	again := vm.DeepCopy()
	again.Status.Epoch = 1
	w.see(refused, again, false, start.Add(3*time.Second))
	w.see(again, bound(again, "i"), false, start.Add(7*time.Second))
	if n, sum := told(t, "domus_vm_bound_duration_seconds", of); n != 2 || sum != 1+4 {
		t.Errorf("bound %d times in %g s", n, sum)
	}
	if n, sum := told(t, "domus_host_rejections_total", map[string]string{"node": "h", "reason": "HostUnfit"}); n != 1 || sum != 1 {
		t.Errorf("%g refusals of host h are counted", sum)
	}
}

func TestStartsAreCounted(t *testing.T) {
	w := freshWaits()
	placed := bound(newVM("a", "starts"), "h")
	one := says(placed, v1alpha1.HostRunning, "", start)
	two := says(placed, v1alpha1.HostRunning, "", start.Add(time.Minute))
	w.see(nil, one, true, start) // it ran before
	w.see(one, one, false, start)
	w.see(one, two, false, start)
	if _, sum := told(t, "domus_vm_guest_starts_seen_total", map[string]string{"profile": "starts"}); sum != 1 {
		t.Errorf("%g starts are counted", sum)
	}
}

func TestVMsAreTold(t *testing.T) {
	waiting, running := newVM("waiting", ""), says(bound(newVM("running", "vm-packing"), "h"), v1alpha1.HostRunning, "", start)
	running.Spec.Class = &v1alpha1.ClassReference{Name: "small"}
	running.Status.Phase = v1alpha1.PhaseRunning
	v := New(nil, func() ([]*v1alpha1.VirtualMachine, error) { return []*v1alpha1.VirtualMachine{waiting, running}, nil }, clocktesting.NewFakePassiveClock(start))
	if n := testutil.CollectAndCount(v); n != 0 {
		t.Errorf("a replica that does not lead tells %d series", n)
	}
	v.leads.Store(true)
	v.waits.see(nil, waiting, true, start.Add(time.Hour))
	want := `
# HELP domus_vm_info ` + metrics.VMInfo.Help + `
# TYPE domus_vm_info gauge
domus_vm_info{class="",name="waiting",namespace="ns",node="",profile="vm-scheduler",uid="waiting"} 1
domus_vm_info{class="small",name="running",namespace="ns",node="h",profile="vm-packing",uid="running"} 1
# HELP domus_vm_pending_since_timestamp_seconds ` + metrics.VMPendingSince.Help + `
# TYPE domus_vm_pending_since_timestamp_seconds gauge
domus_vm_pending_since_timestamp_seconds{name="waiting",namespace="ns"} 1.7935344e+09
# HELP domus_vm_requested_cpus ` + metrics.VMRequestedCPUs.Help + `
# TYPE domus_vm_requested_cpus gauge
domus_vm_requested_cpus{name="running",namespace="ns"} 4
domus_vm_requested_cpus{name="waiting",namespace="ns"} 2
# HELP domus_vm_status_phase ` + metrics.VMPhase.Help + `
# TYPE domus_vm_status_phase gauge
domus_vm_status_phase{name="running",namespace="ns",phase="Running"} 1
domus_vm_status_phase{name="waiting",namespace="ns",phase="Pending"} 1
`
	if err := testutil.CollectAndCompare(v, strings.NewReader(want), "domus_vm_info", "domus_vm_pending_since_timestamp_seconds", "domus_vm_requested_cpus", "domus_vm_status_phase"); err != nil {
		t.Error(err)
	}
}
