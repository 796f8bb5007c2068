package release

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func bound(host v1alpha1.HostStatus) v1alpha1.VirtualMachineStatus {
	return v1alpha1.VirtualMachineStatus{
		Epoch: 4, ObservedGeneration: 2, Phase: v1alpha1.PhaseScheduled,
		Placement: &v1alpha1.Placement{NodeName: "a"}, Host: &host,
	}
}

func TestDue(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.VirtualMachine)
		want   bool
	}{
		"rejected":                    {func(vm *v1alpha1.VirtualMachine) {}, true},
		"gone":                        {func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostGone }, true},
		"running":                     {func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostRunning }, false},
		"said of an earlier epoch":    {func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Epoch = 3 }, false},
		"released already":            {func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }, false},
		"the host has not spoken":     {func(vm *v1alpha1.VirtualMachine) { vm.Status.Host = nil }, false},
		"being deleted is the host's": {func(vm *v1alpha1.VirtualMachine) { at := metav1.NewTime(now); vm.DeletionTimestamp = &at }, false},
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{Status: bound(v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostRejected})}
			test.change(vm)
			if got := due(vm); got != test.want {
				t.Errorf("due is %t, want %t", got, test.want)
			}
		})
	}
}

func TestNext(t *testing.T) {
	scheduled := func(reason, message string) []metav1.Condition {
		return []metav1.Condition{{
			Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: reason, Message: message,
			ObservedGeneration: 3, LastTransitionTime: metav1.NewTime(now),
		}}
	}
	for name, test := range map[string]struct {
		host v1alpha1.HostStatus
		want v1alpha1.VirtualMachineStatus
		spec v1alpha1.VirtualMachineSpec
	}{
		"a host that is unfit is not chosen again for a while": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit, Message: "no pages"},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhasePending,
				ExcludedHosts: []v1alpha1.HostExclusion{{NodeName: "a", Message: "no pages", Until: metav1.NewTime(now.Add(ExcludeFor)).Rfc3339Copy()}},
				Conditions:    scheduled(v1alpha1.ReasonHostRejected, "a refused it: no pages"),
			},
			v1alpha1.VirtualMachineSpec{},
		},
		"an invalid domain is held at the generation the host judged": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonInvalidDomain, Message: "no such machine"},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhaseInvalid,
				Hold:       &v1alpha1.Hold{Generation: 2, Reason: v1alpha1.ReasonInvalidDomain, Message: "no such machine"},
				Conditions: scheduled(v1alpha1.ReasonInvalidDomain, "no such machine"),
			},
			v1alpha1.VirtualMachineSpec{},
		},
		"a VM that asks for another place is tried on its host first": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonResizeNeedsPlacement, Message: "why"},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhasePending, NominatedNodeName: "a",
				Conditions: scheduled(v1alpha1.ReasonResizeNeedsPlacement, "gave up its place on a, since it asks for another one by now; waiting for a host"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning},
		},
		"an evicted VM waits for a host": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhasePending,
				Conditions: scheduled(v1alpha1.ReasonPreempted, "evicted from a to make room for a VirtualMachine of higher priority; waiting for a host"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning},
		},
		"an evicted VM that shall not run waits for nothing": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted, StartedAt: &metav1.Time{Time: now}},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhaseStopped,
				Conditions: scheduled(v1alpha1.ReasonPreempted, "evicted from a to make room for a VirtualMachine of higher priority; set spec.powerState to Running to have it placed and started"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerSuspended},
		},
		"an evicted VM that runs once has run": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted, StartedAt: &metav1.Time{Time: now}},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhaseEnded,
				Conditions: scheduled(v1alpha1.ReasonPreempted, "evicted from a to make room for a VirtualMachine of higher priority; spec.runPolicy Once: it has run and is not started again, unless spec.runPolicy is changed"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, RunPolicy: v1alpha1.RunOnce},
		},
		"an evicted VM that runs once and has not run is placed anew": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhasePending,
				Conditions: scheduled(v1alpha1.ReasonPreempted, "evicted from a to make room for a VirtualMachine of higher priority; waiting for a host"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, RunPolicy: v1alpha1.RunOnce},
		},
		"a released VM is stopped and waits for nothing": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonReleased},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhaseStopped,
				Conditions: scheduled(v1alpha1.ReasonReleased, "stopped, and its place on a given back, as spec.whenStopped says; set spec.powerState to Running to have it placed and started"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerStopped, WhenStopped: v1alpha1.SlotRelease},
		},
		"a released VM that was started meanwhile waits for a host": {
			v1alpha1.HostStatus{Epoch: 4, State: v1alpha1.HostGone, Reason: v1alpha1.ReasonReleased},
			v1alpha1.VirtualMachineStatus{
				Epoch: 5, ObservedGeneration: 2, Phase: v1alpha1.PhasePending,
				Conditions: scheduled(v1alpha1.ReasonReleased, "stopped, and its place on a given back, as spec.whenStopped says; waiting for a host"),
			},
			v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, WhenStopped: v1alpha1.SlotRelease},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := bound(test.host)
			vm := &v1alpha1.VirtualMachine{Spec: test.spec, Status: got}
			vm.Generation = 3
			next(&got, vm, now)
			test.want.Host = &test.host
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExclusionsAreBounded(t *testing.T) {
	var hosts []v1alpha1.HostExclusion
	for i := range 40 {
		hosts = exclude(hosts, v1alpha1.HostExclusion{NodeName: fmt.Sprintf("h%d", i%20)})
	}
	if len(hosts) != maxExcluded || hosts[maxExcluded-1].NodeName != "h19" || hosts[0].NodeName != "h4" {
		t.Errorf("excluded %v", hosts)
	}
}
