package executor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

const (
	testNode    = "host-a"
	testCluster = "cluster-1"
	testUID     = "11111111-1111-4111-8111-111111111111"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// placed is a VM in its epoch 3, bound to the test's host.
func placed(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guest", UID: testUID, Generation: 7, Finalizers: []string{v1alpha1.DomainFinalizer}},
		Spec:       v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, TerminationGracePeriodSeconds: ptr.To[int64](30)},
		Status: v1alpha1.VirtualMachineStatus{
			Epoch:     3,
			Placement: &v1alpha1.Placement{NodeName: testNode, Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 30, Overhead: 1 << 27}},
		},
	}
	for _, c := range change {
		c(vm)
	}
	return vm
}

func deleted(vm *v1alpha1.VirtualMachine)  { vm.DeletionTimestamp = &metav1.Time{Time: testNow} }
func switched(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }
func unplaced(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }
func moved(vm *v1alpha1.VirtualMachine)    { vm.Status.Placement.NodeName = "host-b" }
func noGrace(vm *v1alpha1.VirtualMachine)  { vm.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0) }
func evicted(vm *v1alpha1.VirtualMachine) {
	vm.Status.Eviction = &v1alpha1.Eviction{Reason: "Preempted", Message: "for a VM of higher priority", RequestedAt: metav1.Time{Time: testNow}}
}

func epoch(e int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = e }
}

// said is what the host reported in the VM's present epoch.
func said(state v1alpha1.HostState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: state}
	}
}

// domain is the domain of placed's binding.
func domain(state libvirt.State, change ...func(*Observed)) *Observed {
	d := &Observed{
		Domain: libvirt.Domain{Name: "default:guest", UUID: testUID, State: state, Reason: "crashed"},
		Owned:  true,
		Ownership: convert.Ownership{
			ClusterID:  testCluster,
			Owner:      v1alpha1.Owner{Namespace: "default", Name: "guest", UID: testUID, Epoch: 3},
			Generation: 7, Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 30, Overhead: 1 << 27},
		},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func ofEpoch(e int64) func(*Observed) { return func(d *Observed) { d.Ownership.Owner.Epoch = e } }
func ofAnotherCluster(d *Observed)    { d.Ownership.ClusterID = "cluster-2" }
func recreated(d *Observed)           { d.Ownership.Owner.UID = "22222222-2222-4222-8222-222222222222" }
func ofAnother(d *Observed)           { d.Ownership.Owner.Namespace = "other" }
func because(reason string) func(*Observed) {
	return func(d *Observed) { d.Reason = reason }
}
func foreign(d *Observed) { d.Owned, d.Ownership = false, convert.Ownership{} }

func TestPlan(t *testing.T) {
	stopping := &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"}
	deleting := &Report{State: v1alpha1.HostStopping, Reason: v1alpha1.ReasonDeleting, Message: stopping.Message}
	for name, c := range map[string]struct {
		vm     *v1alpha1.VirtualMachine
		domain *Observed
		memory Memory
		want   Decision
	}{
		"nothing here and nothing asked for": {},

		// What is not provably ours is left alone.
		"a domain whose VM is gone is quarantined": {
			domain: domain(libvirt.StateRunning),
			want:   Decision{Quarantine: "its VirtualMachine does not exist any more"},
		},
		"a stopped domain whose VM is gone is quarantined too": {
			domain: domain(libvirt.StateShutOff),
			want:   Decision{Quarantine: "its VirtualMachine does not exist any more"},
		},
		"a domain of another cluster is quarantined": {
			vm: placed(epoch(9), unplaced), domain: domain(libvirt.StateRunning, ofAnotherCluster),
			want: Decision{Quarantine: "it belongs to a VirtualMachine of another cluster"},
		},
		"a domain of a deleted and recreated VM is quarantined": {
			vm: placed(unplaced), domain: domain(libvirt.StateRunning, recreated),
			want: Decision{Quarantine: "its VirtualMachine was deleted, and another one created with the same name"},
		},
		"a domain of a later epoch than the API server knows is quarantined": {
			vm: placed(unplaced), domain: domain(libvirt.StateRunning, ofEpoch(4)),
			want: Decision{Quarantine: "its VirtualMachine is at an earlier epoch: the API server's data may have been restored from a backup"},
		},
		"a domain of the same epoch is quarantined while its VM is bound elsewhere": {
			vm: placed(moved), domain: domain(libvirt.StateRunning),
			want: Decision{Quarantine: "its VirtualMachine is at the same epoch and not bound to this host"},
		},
		"a VM whose UUID another cluster's domain has is rejected, the domain quarantined": {
			vm: placed(), domain: domain(libvirt.StateRunning, ofAnotherCluster),
			want: Decision{
				Quarantine: "it belongs to a VirtualMachine of another cluster",
				Report: &Report{
					State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
					Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
				},
			},
		},
		"a VM whose UUID a foreign domain has is rejected, the domain left alone": {
			vm: placed(), domain: domain(libvirt.StateRunning, foreign),
			want: Decision{Report: &Report{
				State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
				Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
			}},
		},
		"a VM that claims the UUID of another VM's domain is rejected, the domain not judged": {
			vm: placed(), domain: domain(libvirt.StateRunning, ofAnother),
			want: Decision{Report: &Report{
				State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
				Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
			}},
		},
		"a VM bound elsewhere that claims the UUID of another VM's domain changes nothing": {
			vm: placed(moved), domain: domain(libvirt.StateRunning, ofAnother),
		},
		"a deleted VM whose UUID a foreign domain has may go": {
			vm: placed(deleted), domain: domain(libvirt.StateRunning, foreign),
			want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a foreign domain with the UUID of a VM bound elsewhere is none of our business": {
			vm: placed(moved), domain: domain(libvirt.StateRunning, foreign),
		},

		// Bindings that have ended.
		"an unplaced VM's earlier domain is stopped at once and removed": {
			vm: placed(epoch(4), unplaced), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}},
		},
		"a VM bound elsewhere since has its earlier domain stopped at once and removed": {
			vm: placed(epoch(4), moved), domain: domain(libvirt.StatePaused),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}},
		},
		"an ended binding's stopped domain is removed": {
			vm: placed(epoch(4), moved), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}},
		},
		"a VM bound here again loses the domain of its earlier binding first": {
			vm: placed(epoch(4)), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a VM that is not bound here and has no domain here is not ours": {vm: placed(moved)},
		"a deleted VM that is not bound here is not ours":                {vm: placed(moved, deleted)},

		// Deletion.
		"a deleted VM's guest is asked to shut down": {
			vm: placed(deleted), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: deleting, RequeueAfter: 10 * time.Second},
		},
		"a guest that was asked is waited for": {
			vm: placed(deleted), domain: domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: testNow.Add(-4 * time.Second), LastAskedAt: testNow.Add(-4 * time.Second)},
			want:   Decision{Report: deleting, RequeueAfter: 10 * time.Second},
		},
		"a guest that does not react is asked again": {
			vm: placed(deleted), domain: domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: testNow.Add(-25 * time.Second), LastAskedAt: testNow.Add(-10 * time.Second)},
			want:   Decision{Steps: []Step{StepAskShutdown}, Report: deleting, RequeueAfter: 5 * time.Second},
		},
		"a guest that has had its time is switched off and removed": {
			vm: placed(deleted), domain: domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: testNow.Add(-30 * time.Second), LastAskedAt: testNow.Add(-10 * time.Second)},
			want:   Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a guest without grace is switched off at once": {
			vm: placed(deleted, noGrace), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a crashed guest is not asked": {
			vm: placed(deleted), domain: domain(libvirt.StateCrashed),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a deleted VM's stopped domain is removed": {
			vm: placed(deleted), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}, Again: true},
		},
		"a deleted VM without a domain may go": {
			vm: placed(deleted), want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a deleted and rejected VM may go": {
			vm: placed(deleted, said(v1alpha1.HostRejected)), want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a deleted VM without our finalizer is left to others": {
			vm: placed(deleted, func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{"example.com/other"} }),
		},

		// Eviction.
		"an evicted VM's guest is asked to shut down": {
			vm: placed(evicted), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: stopping, RequeueAfter: 10 * time.Second},
		},
		"an evicted VM's stopped domain is removed": {
			vm: placed(evicted), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}, Again: true},
		},
		"an evicted VM without a domain is reported gone": {
			vm:   placed(evicted),
			want: Decision{Report: &Report{State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted, Message: "for a VM of higher priority"}},
		},
		"an evicted VM that was reported gone stays so": {vm: placed(evicted, said(v1alpha1.HostGone))},

		// Rejection.
		"a rejected VM is not tried again in its epoch": {vm: placed(said(v1alpha1.HostRejected))},
		"a rejected VM leaves no domain": {
			vm: placed(said(v1alpha1.HostRejected)), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}},
		},
		"a rejection of an earlier epoch does not count": {
			vm:   placed(epoch(2), said(v1alpha1.HostRejected), epoch(3)),
			want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},

		// Power.
		"a VM bound here is defined and started": {
			vm: placed(), want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a running guest is reported": {
			vm: placed(), domain: domain(libvirt.StateRunning),
			want: Decision{Report: &Report{State: v1alpha1.HostRunning}},
		},
		"a crashed guest that is kept is reported": {
			vm: placed(), domain: domain(libvirt.StateCrashed),
			want: Decision{Report: &Report{
				State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonGuestEnded,
				Message: "the guest crashed and is kept as onCrash says: switch it off to have it started again",
			}},
		},
		"a guest that is shutting down is looked at again": {
			vm: placed(), domain: domain(libvirt.StateShuttingDown), want: Decision{RequeueAfter: 2 * time.Second},
		},
		"a domain that was defined and never started is defined anew and started": {
			vm: placed(), domain: domain(libvirt.StateShutOff, because(libvirt.ReasonNotStarted)), want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a domain whose VM was edited is defined anew before it starts": {
			vm:     placed(said(v1alpha1.HostStopped)),
			domain: domain(libvirt.StateShutOff, func(d *Observed) { d.Ownership.Generation = 6 }),
			want:   Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"an edit does not touch a running guest": {
			vm:     placed(),
			domain: domain(libvirt.StateRunning, func(d *Observed) { d.Ownership.Generation = 6 }),
			want:   Decision{Report: &Report{State: v1alpha1.HostRunning}},
		},
		"a guest that ended by itself is noted": {
			vm: placed(said(v1alpha1.HostRunning)), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepNoteEnd}, Again: true},
		},
		"a guest that ended before it was ever reported is noted": {
			vm: placed(), domain: domain(libvirt.StateShutOff), memory: Memory{Expected: true},
			want: Decision{Steps: []Step{StepNoteEnd}, Again: true},
		},
		"a guest that ended waits its time": {
			vm: placed(said(v1alpha1.HostRunning)), domain: domain(libvirt.StateShutOff),
			memory: Memory{Failures: 1, RetryAt: testNow.Add(4 * time.Second), Failure: Failure{Reason: v1alpha1.ReasonGuestEnded, Message: "why"}},
			want: Decision{
				Report:       &Report{State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonGuestEnded, Message: "why"},
				RequeueAfter: 4 * time.Second,
			},
		},
		"a guest that has waited is started again": {
			vm: placed(said(v1alpha1.HostFailed)), domain: domain(libvirt.StateShutOff),
			memory: Memory{Failures: 1, RetryAt: testNow},
			want:   Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a stopped VM's guest is asked to shut down and its domain kept": {
			vm: placed(switched), domain: domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: stopping, RequeueAfter: 10 * time.Second},
		},
		"a stopped VM's guest is switched off when it does not react, its domain kept": {
			vm: placed(switched), domain: domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: testNow.Add(-30 * time.Second)},
			want:   Decision{Steps: []Step{StepDestroy}, Again: true},
		},
		"a stopped VM is reported stopped": {
			vm: placed(switched), domain: domain(libvirt.StateShutOff),
			want: Decision{Report: &Report{State: v1alpha1.HostStopped}},
		},
		"a stopped VM that was never started is reported stopped": {
			vm: placed(switched), want: Decision{Report: &Report{State: v1alpha1.HostStopped}},
		},
		"a stopped VM that shall run again is started at once": {
			vm: placed(said(v1alpha1.HostStopped)), domain: domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Plan(Situation{Node: testNode, ClusterID: testCluster, VM: c.vm, Domain: c.domain, Memory: c.memory, Now: testNow})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever the situation, nothing is done to a domain that is not the VM's own
// binding, now or in the past, and nothing at all to one whose VM is not there.
func TestPlanNeverTouchesWhatIsNotOurs(t *testing.T) {
	vms := map[string]*v1alpha1.VirtualMachine{"missing": nil}
	for name, change := range map[string][]func(*v1alpha1.VirtualMachine){
		"placed": {}, "deleted": {deleted}, "evicted": {evicted}, "switched off": {switched}, "unplaced": {unplaced},
		"moved": {moved}, "rejected": {said(v1alpha1.HostRejected)}, "gone": {said(v1alpha1.HostGone)}, "running": {said(v1alpha1.HostRunning)},
	} {
		for _, e := range []int64{2, 3, 4} {
			vms[name+" at "+string(rune('0'+e))] = placed(append([]func(*v1alpha1.VirtualMachine){epoch(e)}, change...)...)
		}
	}
	strangers := map[string]func(*Observed){"foreign": foreign, "other cluster": ofAnotherCluster, "other UID": recreated, "other VM": ofAnother}
	touching := map[Step]bool{StepDefine: true, StepStart: true, StepAskShutdown: true, StepDestroy: true, StepUndefine: true}
	for vmName, vm := range vms {
		for strangerName, change := range strangers {
			for _, state := range []libvirt.State{libvirt.StateRunning, libvirt.StatePaused, libvirt.StateShutOff, libvirt.StateCrashed} {
				got := Plan(Situation{Node: testNode, ClusterID: testCluster, VM: vm, Domain: domain(state, change), Now: testNow})
				for _, s := range got.Steps {
					if touching[s] {
						t.Errorf("VM %s, domain %s and %s: %s", vmName, strangerName, state, s)
					}
				}
			}
		}
	}
}

func TestWhatStopsOrStartsNeedsALiveObject(t *testing.T) {
	for name, c := range map[string]struct {
		decision Decision
		want     bool
	}{
		"nothing":             {Decision{}, false},
		"a report":            {Decision{Report: &Report{State: v1alpha1.HostRunning}}, false},
		"noting an end":       {Decision{Steps: []Step{StepNoteEnd}}, false},
		"a start":             {Decision{Steps: []Step{StepStart}}, true},
		"asking to shut down": {Decision{Steps: []Step{StepAskShutdown}}, true},
		"a quarantine":        {Decision{Quarantine: "why"}, true},
		"a rejection":         {Decision{Report: &Report{State: v1alpha1.HostRejected}}, true},
		"giving up":           {Decision{Report: &Report{State: v1alpha1.HostGone}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.decision.NeedsLive(); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
