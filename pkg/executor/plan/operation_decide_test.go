package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
)

func TestDecideOperation(t *testing.T) {
	over := func(reason, message string) OperationDecision {
		return OperationDecision{Outcome: &Outcome{Reason: reason, Message: message}}
	}
	minute := vmtest.Within(60)
	for name, c := range map[string]struct {
		in   OperationSituation
		want OperationDecision
	}{
		"one that may be repeated is done without a word": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationScreenshot, minute), VM: vmtest.Placed(), Connected: true},
			OperationDecision{Act: true, After: time.Minute},
		},
		"one that may not be is said first": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, minute), VM: vmtest.Placed(), Connected: true},
			OperationDecision{Act: true, Begin: true, After: time.Minute},
		},
		"what this process said and has not done is done": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, minute, vmtest.Begun), VM: vmtest.Placed(), Connected: true, Begun: true},
			OperationDecision{Act: true, After: time.Minute},
		},
		"what another process said is not done": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, vmtest.Begun), VM: vmtest.Placed(), Connected: true},
			over(v1alpha1.ReasonInterrupted, "vm-executor ended while it was at it: whether it took effect is not known, and it is not done a second time by itself; look at the guest before asking again"),
		},
		"a restart that another process began goes on": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart, minute, vmtest.Begun), VM: vmtest.Placed(), Connected: true},
			OperationDecision{Act: true, InTurn: true, After: time.Minute},
		},
		"a result that could not be written is written": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, vmtest.Begun), Result: &Outcome{Message: "done"}, Now: vmtest.Now.Add(time.Hour)},
			OperationDecision{Outcome: &Outcome{Message: "done"}},
		},
		"libvirt is waited for": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, minute), VM: vmtest.Placed()},
			OperationDecision{After: LibvirtPoll},
		},
		"no longer than the time limit": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset, minute), VM: vmtest.Placed(), Now: vmtest.Now.Add(59 * time.Second)},
			OperationDecision{After: time.Second},
		},
		"a VM that is gone": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset), Connected: true},
			over(v1alpha1.ReasonBindingEnded, "the VirtualMachine was deleted before it was done"),
		},
		"a namesake": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationReset), Connected: true, VM: vmtest.Placed(func(vm *v1alpha1.VirtualMachine) { vm.UID = "other" })},
			over(v1alpha1.ReasonBindingEnded, "the VirtualMachine was deleted before it was done"),
		},
		"a guest that does not shut down in time": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart, minute, vmtest.Begun), Connected: true, Now: vmtest.Now.Add(time.Minute), VM: vmtest.Placed(vmtest.Said(v1alpha1.HostStopping), func(vm *v1alpha1.VirtualMachine) {
				vm.Status.Host.Message = "the guest was asked to shut down"
			})},
			over(v1alpha1.ReasonTimedOut, "1m0s passed while waiting for the guest to shut down: the guest was asked to shut down; it is switched off after spec.terminationGracePeriodSeconds"),
		},
		"a guest that does not start in time": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart, minute, vmtest.Begun), Connected: true, Now: vmtest.Now.Add(time.Minute), VM: vmtest.Placed(vmtest.Said(v1alpha1.HostFailed), func(vm *v1alpha1.VirtualMachine) {
				vm.Status.Host.Message = "no hugepages"
			})},
			over(v1alpha1.ReasonTimedOut, "1m0s passed while waiting for the guest to start: no hugepages"),
		},
		"a guest whose network is not there": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart, minute, vmtest.Begun), Connected: true, Now: vmtest.Now.Add(time.Minute), VM: vmtest.Placed(vmtest.Said(v1alpha1.HostStopped), func(vm *v1alpha1.VirtualMachine) {
				vm.Status.Host.Reason, vm.Status.Host.Message = v1alpha1.ReasonWaitingForNetworks, "VirtualNetwork lan: it is being deleted"
			})},
			over(v1alpha1.ReasonTimedOut, "1m0s passed while waiting for the guest to start: VirtualNetwork lan: it is being deleted"),
		},
		"a restart of a VM that shall stop": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart), Connected: true, VM: vmtest.Placed(vmtest.Switched)},
			over(v1alpha1.ReasonWrongState, "spec.powerState is Stopped: set it to Running instead, which starts the guest"),
		},
		"a restart of a VM that gave its place up is vm-scheduler's to follow": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart), Connected: true, VM: vmtest.Placed(vmtest.Said(v1alpha1.HostGone))},
			OperationDecision{},
		},
		"so is one of a VM that is bound anew": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart), Connected: true, VM: vmtest.Placed(vmtest.Epoch(4))},
			OperationDecision{},
		},
		"a restart of a VM that runs once": {
			OperationSituation{Operation: vmtest.Operation(v1alpha1.OperationRestart), Connected: true, VM: vmtest.Placed(func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = v1alpha1.RunOnce })},
			over(v1alpha1.ReasonWrongState, "spec.runPolicy is Once: the guest is never started a second time"),
		},
		"a type of a later version": {
			OperationSituation{Operation: vmtest.Operation("Juggle"), Connected: true, VM: vmtest.Placed()},
			over(v1alpha1.ReasonOperationRefused, "this vm-executor does not know operations of type Juggle: install one as new as the CustomResourceDefinition"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.in.Now.IsZero() {
				c.in.Now = vmtest.Now
			}
			if diff := cmp.Diff(c.want, DecideOperation(c.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
