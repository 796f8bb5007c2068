package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// States of VMs that an operation was asked for. Those under way have just been
// asked for.
var (
	isForceStopping     = state{name: "ForceStop under way", reach: runAndRemember, then: ask4ForceStop}
	isToldToForceStop   = state{name: "running, ForceStop asked for meanwhile", reach: runAndRemember, amid: ask4ForceStop}
	isSettingPassword   = state{name: "SetPassword under way", create: createWithAgent, reach: runWithAgent, then: ask4Password}
	isToldToSetPassword = state{name: "running, SetPassword asked for meanwhile", create: createWithAgent, reach: runWithAgent, amid: ask4Password}
	// isForceStoppedSince was switched off, and has booted again, since a copy.
	isForceStoppedSince = state{name: "switched off by ForceStop since the copy", reach: runAndRemember, then: func(t *testing.T, s *subject) {
		boots := strings.Count(env.Console(s.name), live.Banner)
		ask4ForceStop(t, s)
		reaches(t, s, func(o observation) string {
			return all(running(o), operated(o, v1alpha1.OperationSucceeded, ""), want("boots on the console", o.boots, boots+1))
		})
		w, err := ask(s.process().pid, bootTime)
		must(t, err)
		s.said = &w
	}}
)

// The expectations of them.
var (
	// forceStops: it is switched off, and then started again as runPolicy says.
	forceStops = expectation{
		says: "boots once more; Succeeded",
		after: func(before, after observation) string {
			return all(bootsAgain.after(before, after), operated(after, v1alpha1.OperationSucceeded, ""))
		},
	}
	// isSwitchedOff: a life of it was ended, be it by the fault or by what was asked.
	isSwitchedOff = expectation{
		says: "boots again, same host; Succeeded",
		after: func(before, after observation) string {
			wrong := all(running(after), sameBinding(before, after), operated(after, v1alpha1.OperationSucceeded, ""))
			if after.boots <= before.boots {
				wrong = all(wrong, "it has not booted again")
			}
			return wrong
		},
	}
	// passwordIsSet: the guest itself has it.
	passwordIsSet = expectation{
		says: "runs on, with the password; Succeeded",
		after: func(before, after observation) string {
			return all(runsOn.after(before, after), operated(after, v1alpha1.OperationSucceeded, ""))
		},
		finally: hasPassword,
	}
	// mayBeSet: the guest did not answer in time, and what it was asked waits for it.
	mayBeSet = expectation{
		says: "runs on; Failed, AgentUnavailable: may yet be set",
		after: func(before, after observation) string {
			wrong := all(runsOn.after(before, after), operated(after, v1alpha1.OperationFailed, v1alpha1.ReasonAgentUnavailable))
			if after.operation != nil && !strings.Contains(after.operation.Status.Message, "may yet do it") {
				wrong = all(wrong, "it does not say so")
			}
			return wrong
		},
		finally: passwordIsSet.finally,
	}
)

func operated(o observation, phase v1alpha1.OperationPhase, reason string) string {
	if o.operation == nil {
		return "there is no operation"
	}
	return all(want("the operation", o.operation.Status.Phase, phase), want("its reason", o.operation.Status.Reason, reason))
}

// passwordUser and passwordHash are what SetPassword is asked for.
const (
	passwordUser = "guest"
	passwordHash = "$6$domus$454kabmnDyvmdWdc9cYWs/Mkw.HLW5ZNmrs26U5ySxq.IB.IpqWRJunOUpF0gf0hX/4GoDdjjWLjVAd/H8laI0"
)

// The operations, as they are asked for.
var (
	ask4Restart   = operate(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationRestart})
	ask4Reset     = operate(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationReset})
	ask4ForceStop = operate(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationForceStop})
	ask4Password  = operate(v1alpha1.VirtualMachineOperationSpec{
		Type: v1alpha1.OperationSetPassword, SetPassword: &v1alpha1.SetPassword{User: passwordUser, Hash: passwordHash},
	})
)

// operate asks for an operation on the VM, as often as it takes to be heard.
func operate(what v1alpha1.VirtualMachineOperationSpec) func(t *testing.T, s *subject) {
	return func(t *testing.T, s *subject) {
		t.Helper()
		op := &v1alpha1.VirtualMachineOperation{Spec: what}
		op.Spec.VirtualMachineName, op.Spec.TimeoutSeconds = s.name, ptr.To(int32(settleTime.Seconds()))
		op.Namespace, op.Name = live.Namespace, fmt.Sprintf("%s-%d", s.name, time.Now().UnixNano())
		must(t, env.Create(t.Context(), op))
		s.operation = op.Name
	}
}

func createWithAgent(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm, err := newVM(name, "real", withAgent)
	must(t, err)
	must(t, env.Create(t.Context(), vm))
	return vm
}

// runWithAgent brings the VM to run, and its agent to answer.
func runWithAgent(t *testing.T, name string) *subject {
	t.Helper()
	s := runAndRemember(t, name)
	within(t, bootTime, "the agent of "+name+" answers", func() string {
		vm, err := get(t.Context(), name)
		switch {
		case err != nil:
			return err.Error()
		case vm == nil || !meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionAgentConnected):
			return "it does not"
		}
		return ""
	})
	return s
}

// hasPassword says whether the guest's own file of passwords lacks it; the guest may
// be just about to set it.
func hasPassword(ctx context.Context, s *subject, _ observation) (after observation, wrong string) {
	wrong = await(settleTime, func() string {
		var err error
		if after, err = s.observe(ctx); err != nil {
			return err.Error()
		}
		if err := after.hear(bootTime); err != nil {
			return err.Error()
		}
		lines, err := count(after.qemu.pid, passwordUser+":"+passwordHash+":", "/etc/shadow", bootTime)
		if err != nil {
			return err.Error()
		}
		return want("lines of the guest with the password", lines, 1)
	})
	return after, wrong
}
