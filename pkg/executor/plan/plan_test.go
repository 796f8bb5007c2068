package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestPlan(t *testing.T) {
	stopping := &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"}
	deleting := &Report{State: v1alpha1.HostStopping, Reason: v1alpha1.ReasonDeleting, Message: stopping.Message}
	for name, c := range map[string]struct {
		vm     *v1alpha1.VirtualMachine
		domain *ownership.Observed
		memory Memory
		want   Decision
	}{
		"nothing here and nothing asked for": {},

		// What is not provably ours is left alone.
		"a domain whose VM is gone is quarantined": {
			domain: vmtest.Domain(libvirt.StateRunning),
			want:   Decision{Quarantine: "its VirtualMachine does not exist any more"},
		},
		"a stopped domain whose VM is gone is quarantined too": {
			domain: vmtest.Domain(libvirt.StateShutOff),
			want:   Decision{Quarantine: "its VirtualMachine does not exist any more"},
		},
		"a domain of another cluster is quarantined": {
			vm: vmtest.Placed(vmtest.Epoch(9), vmtest.Unplaced), domain: vmtest.Domain(libvirt.StateRunning, vmtest.OfAnotherCluster),
			want: Decision{Quarantine: "it belongs to a VirtualMachine of another cluster"},
		},
		"a domain of a deleted and recreated VM is quarantined": {
			vm: vmtest.Placed(vmtest.Unplaced), domain: vmtest.Domain(libvirt.StateRunning, vmtest.Recreated),
			want: Decision{Quarantine: "its VirtualMachine was deleted, and another one created with the same name"},
		},
		"a domain of a later epoch than the API server knows is quarantined": {
			vm: vmtest.Placed(vmtest.Unplaced), domain: vmtest.Domain(libvirt.StateRunning, vmtest.OfEpoch(4)),
			want: Decision{Quarantine: "its VirtualMachine is at an earlier epoch: the API server's data may have been restored from a backup"},
		},
		"a domain of the same epoch is quarantined while its VM is bound elsewhere": {
			vm: vmtest.Placed(vmtest.Moved), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Quarantine: "its VirtualMachine is at the same epoch and not bound to this host"},
		},
		"a VM whose UUID another cluster's domain has is rejected, the domain quarantined": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateRunning, vmtest.OfAnotherCluster),
			want: Decision{
				Quarantine: "it belongs to a VirtualMachine of another cluster",
				Report: &Report{
					State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
					Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
				},
			},
		},
		"a VM whose UUID a foreign domain has is rejected, the domain left alone": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateRunning, vmtest.Foreign),
			want: Decision{Report: &Report{
				State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
				Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
			}},
		},
		"a VM that claims the UUID of another VM's domain is rejected, the domain not judged": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateRunning, vmtest.OfAnother),
			want: Decision{Report: &Report{
				State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
				Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
			}},
		},
		"a VM bound elsewhere that claims the UUID of another VM's domain changes nothing": {
			vm: vmtest.Placed(vmtest.Moved), domain: vmtest.Domain(libvirt.StateRunning, vmtest.OfAnother),
		},
		"a deleted VM whose UUID a foreign domain has may go": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateRunning, vmtest.Foreign),
			want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a foreign domain with the UUID of a VM bound elsewhere is none of our business": {
			vm: vmtest.Placed(vmtest.Moved), domain: vmtest.Domain(libvirt.StateRunning, vmtest.Foreign),
		},

		// Bindings that have ended.
		"an unplaced VM's earlier domain is stopped at once and removed": {
			vm: vmtest.Placed(vmtest.Epoch(4), vmtest.Unplaced), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}},
		},
		"a VM bound elsewhere since has its earlier domain stopped at once and removed": {
			vm: vmtest.Placed(vmtest.Epoch(4), vmtest.Moved), domain: vmtest.Domain(libvirt.StatePaused),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}},
		},
		"an ended binding's stopped domain is removed": {
			vm: vmtest.Placed(vmtest.Epoch(4), vmtest.Moved), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}},
		},
		"a VM bound here again loses the domain of its earlier binding first": {
			vm: vmtest.Placed(vmtest.Epoch(4)), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a VM that is not bound here and has no domain here is not ours": {vm: vmtest.Placed(vmtest.Moved)},
		"a deleted VM that is not bound here is not ours":                {vm: vmtest.Placed(vmtest.Moved, vmtest.Deleted)},

		// Deletion.
		"a deleted VM's guest is asked to shut down": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: deleting, RequeueAfter: 10 * time.Second},
		},
		"a guest that was asked is waited for": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: vmtest.Now.Add(-4 * time.Second), LastAskedAt: vmtest.Now.Add(-4 * time.Second)},
			want:   Decision{Report: deleting, RequeueAfter: 10 * time.Second},
		},
		"a guest that does not react is asked again": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: vmtest.Now.Add(-25 * time.Second), LastAskedAt: vmtest.Now.Add(-10 * time.Second)},
			want:   Decision{Steps: []Step{StepAskShutdown}, Report: deleting, RequeueAfter: 5 * time.Second},
		},
		"a guest that has had its time is switched off and removed": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: vmtest.Now.Add(-30 * time.Second), LastAskedAt: vmtest.Now.Add(-10 * time.Second)},
			want:   Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a guest without grace is switched off at once": {
			vm: vmtest.Placed(vmtest.Deleted, vmtest.NoGrace), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a crashed guest is not asked": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateCrashed),
			want: Decision{Steps: []Step{StepDestroy, StepUndefine}, Again: true},
		},
		"a deleted VM's stopped domain is removed": {
			vm: vmtest.Placed(vmtest.Deleted), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}, Again: true},
		},
		"a deleted VM without a domain may go": {
			vm: vmtest.Placed(vmtest.Deleted), want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a deleted and rejected VM may go": {
			vm: vmtest.Placed(vmtest.Deleted, vmtest.Said(v1alpha1.HostRejected)), want: Decision{Steps: []Step{StepRemoveFinalizer}},
		},
		"a deleted VM without our finalizer is left to others": {
			vm: vmtest.Placed(vmtest.Deleted, func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{"example.com/other"} }),
		},

		// Eviction.
		"an evicted VM's guest is asked to shut down": {
			vm: vmtest.Placed(vmtest.Evicted), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: stopping, RequeueAfter: 10 * time.Second},
		},
		"an evicted VM's stopped domain is removed": {
			vm: vmtest.Placed(vmtest.Evicted), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}, Again: true},
		},
		"an evicted VM without a domain is reported gone": {
			vm:   vmtest.Placed(vmtest.Evicted),
			want: Decision{Report: &Report{State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted, Message: "for a VM of higher priority"}},
		},
		"an evicted VM that was reported gone stays so": {vm: vmtest.Placed(vmtest.Evicted, vmtest.Said(v1alpha1.HostGone))},

		// Rejection.
		"a rejected VM is not tried again in its epoch": {vm: vmtest.Placed(vmtest.Said(v1alpha1.HostRejected))},
		"a rejected VM leaves no domain": {
			vm: vmtest.Placed(vmtest.Said(v1alpha1.HostRejected)), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepUndefine}},
		},
		"a rejection of an earlier epoch does not count": {
			vm:   vmtest.Placed(vmtest.Epoch(2), vmtest.Said(v1alpha1.HostRejected), vmtest.Epoch(3)),
			want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},

		// Power.
		"a VM bound here is defined and started": {
			vm: vmtest.Placed(), want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a running guest is reported": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Report: &Report{State: v1alpha1.HostRunning}},
		},
		"a crashed guest that is kept is reported": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateCrashed),
			want: Decision{Report: &Report{
				State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonGuestEnded,
				Message: "the guest crashed and is kept as onCrash says: switch it off to have it started again",
			}},
		},
		"a guest that is shutting down is looked at again": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateShuttingDown), want: Decision{RequeueAfter: 2 * time.Second},
		},
		"a domain that was defined and never started is defined anew and started": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateShutOff, vmtest.Because(libvirt.ReasonNotStarted)), want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a domain whose VM was edited is defined anew before it starts": {
			vm:     vmtest.Placed(vmtest.Said(v1alpha1.HostStopped)),
			domain: vmtest.Domain(libvirt.StateShutOff, func(d *ownership.Observed) { d.Ownership.Generation = 6 }),
			want:   Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"an edit does not touch a running guest": {
			vm:     vmtest.Placed(),
			domain: vmtest.Domain(libvirt.StateRunning, func(d *ownership.Observed) { d.Ownership.Generation = 6 }),
			want:   Decision{Report: &Report{State: v1alpha1.HostRunning}},
		},
		"a guest that ended by itself is noted": {
			vm: vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepNoteEnd}, Again: true},
		},
		"a guest that ended before it was ever reported is noted": {
			vm: vmtest.Placed(), domain: vmtest.Domain(libvirt.StateShutOff), memory: Memory{Expected: true},
			want: Decision{Steps: []Step{StepNoteEnd}, Again: true},
		},
		"a guest that ended waits its time": {
			vm: vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), domain: vmtest.Domain(libvirt.StateShutOff),
			memory: Memory{Failures: 1, RetryAt: vmtest.Now.Add(4 * time.Second), Failure: Failure{Reason: v1alpha1.ReasonGuestEnded, Message: "why"}},
			want: Decision{
				Report:       &Report{State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonGuestEnded, Message: "why"},
				RequeueAfter: 4 * time.Second,
			},
		},
		"a guest that has waited is started again": {
			vm: vmtest.Placed(vmtest.Said(v1alpha1.HostFailed)), domain: vmtest.Domain(libvirt.StateShutOff),
			memory: Memory{Failures: 1, RetryAt: vmtest.Now},
			want:   Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
		"a stopped VM's guest is asked to shut down and its domain kept": {
			vm: vmtest.Placed(vmtest.Switched), domain: vmtest.Domain(libvirt.StateRunning),
			want: Decision{Steps: []Step{StepAskShutdown}, Report: stopping, RequeueAfter: 10 * time.Second},
		},
		"a stopped VM's guest is switched off when it does not react, its domain kept": {
			vm: vmtest.Placed(vmtest.Switched), domain: vmtest.Domain(libvirt.StateRunning),
			memory: Memory{StopAskedAt: vmtest.Now.Add(-30 * time.Second)},
			want:   Decision{Steps: []Step{StepDestroy}, Again: true},
		},
		"a stopped VM is reported stopped": {
			vm: vmtest.Placed(vmtest.Switched), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Report: &Report{State: v1alpha1.HostStopped}},
		},
		"a stopped VM that was never started is reported stopped": {
			vm: vmtest.Placed(vmtest.Switched), want: Decision{Report: &Report{State: v1alpha1.HostStopped}},
		},
		"a stopped VM that shall run again is started at once": {
			vm: vmtest.Placed(vmtest.Said(v1alpha1.HostStopped)), domain: vmtest.Domain(libvirt.StateShutOff),
			want: Decision{Steps: []Step{StepDefine, StepStart}, Again: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: c.vm, Domain: c.domain, Memory: c.memory, Now: vmtest.Now})
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
		"placed": {}, "deleted": {vmtest.Deleted}, "evicted": {vmtest.Evicted}, "switched off": {vmtest.Switched}, "unplaced": {vmtest.Unplaced},
		"moved": {vmtest.Moved}, "rejected": {vmtest.Said(v1alpha1.HostRejected)}, "gone": {vmtest.Said(v1alpha1.HostGone)}, "running": {vmtest.Said(v1alpha1.HostRunning)},
	} {
		for _, e := range []int64{2, 3, 4} {
			vms[name+" at "+string(rune('0'+e))] = vmtest.Placed(append([]func(*v1alpha1.VirtualMachine){vmtest.Epoch(e)}, change...)...)
		}
	}
	strangers := map[string]func(*ownership.Observed){"foreign": vmtest.Foreign, "other cluster": vmtest.OfAnotherCluster, "other UID": vmtest.Recreated, "other VM": vmtest.OfAnother}
	touching := map[Step]bool{StepDefine: true, StepStart: true, StepAskShutdown: true, StepDestroy: true, StepUndefine: true}
	for vmName, vm := range vms {
		for strangerName, change := range strangers {
			for _, state := range []libvirt.State{libvirt.StateRunning, libvirt.StatePaused, libvirt.StateShutOff, libvirt.StateCrashed} {
				got := Decide(Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: vm, Domain: vmtest.Domain(state, change), Now: vmtest.Now})
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
