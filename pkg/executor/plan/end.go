package plan

import (
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// ending is how a guest that was not ended on purpose came to its end.
type ending struct {
	// reason is GuestShutDown or GuestFailed.
	reason string
	// words say it to a person.
	Words string
}

// endingOf says how the guest of the binding has ended by itself; false when it
// has not run in this binding, or was ended on purpose, or is about to be
// started again after such an end. There is no guest now, and no saved memory.
//
// status.host is the memory of whether it ran, and libvirt's reason the evidence
// of how it ended. That evidence is gone once libvirtd was restarted, as after a
// loss of power, so that what was once said of an end stands.
func endingOf(in Situation, host *v1alpha1.HostStatus) (ending, bool) {
	m := in.Memory
	why := libvirt.ReasonNotStarted
	if in.Domain != nil {
		why = in.Domain.Reason
	}
	switch {
	case m.Starting:
		return ending{}, false // libvirt has not said yet whether it started
	case m.Expected, m.Failures > 0 && m.Failure.Reason == v1alpha1.ReasonGuestEnded:
		return Evidence(in, why), true
	case m.Failures > 0:
		return ending{}, false
	case host == nil:
		// It may have run and ended before that was reported.
		return Evidence(in, why), hasRun(why)
	}
	if host.Reason == v1alpha1.ReasonStarting {
		if hasRun(why) {
			return Evidence(in, why), true
		}
		unsure := why != libvirt.ReasonFailed && !StartsAgain(in.VM.Spec.RunPolicy, v1alpha1.ReasonGuestFailed)
		return ending{v1alpha1.ReasonGuestFailed, "the guest was about to be started, and it is not known whether it ran"}, unsure
	}
	switch host.State {
	case v1alpha1.HostRunning, v1alpha1.HostPaused:
		return Evidence(in, why), true
	case v1alpha1.HostSuspended:
		if hasRun(why) && why != libvirt.ReasonSaved {
			return Evidence(in, why), true // it was restored and ended
		}
		return ending{v1alpha1.ReasonGuestFailed, "the guest's saved memory is gone from the host"}, true
	case v1alpha1.HostFailed:
		return Evidence(in, why), host.Reason == v1alpha1.ReasonGuestEnded
	case v1alpha1.HostEnded:
		return ending{host.Reason, ""}, host.Reason != v1alpha1.ReasonRanOnce
	}
	return ending{}, false
}

// hasRun says whether libvirt's reason for there being no guest is that of one
// that ran: a domain that did not start has a reason of its own.
func hasRun(why string) bool {
	return why != "" && why != libvirt.ReasonNotStarted && why != libvirt.ReasonFailed
}

// Evidence reads libvirt's reason, and what QEMU said when it died.
func Evidence(in Situation, why string) ending {
	d := in.Domain
	failed := func(words string) ending { return ending{v1alpha1.ReasonGuestFailed, words} }
	switch {
	case d == nil:
		return failed("the guest is gone, and its domain was removed from the host")
	case in.Memory.CannotGoOn != "":
		return failed("QEMU could not have the guest go on, which was switched off (" + in.Memory.CannotGoOn + ")")
	case why == libvirt.ReasonShutDown:
		return ending{v1alpha1.ReasonGuestShutDown, "the guest shut itself down"}
	case why == libvirt.ReasonCrashed:
		return failed("the guest crashed, or its QEMU was killed" + LastWords(in.LastWords))
	case why == libvirt.ReasonDestroyed:
		return failed("the guest was switched off on the host")
	case why == libvirt.ReasonNotStarted:
		return failed("the guest is gone, as after a loss of the host's power")
	}
	return failed(fmt.Sprintf("the guest ended (%s)", why))
}

// LastWords are for the end of a sentence about a QEMU that died; "" where it said
// nothing.
func LastWords(said string) string {
	if said == "" {
		return ""
	}
	return " (it said last: " + said + ")"
}

// StartsAgain says whether a guest that ended by itself for the reason is started
// again.
func StartsAgain(policy v1alpha1.RunPolicy, reason string) bool {
	switch policy {
	case v1alpha1.RunOnFailure:
		return reason == v1alpha1.ReasonGuestFailed
	case v1alpha1.RunManual, v1alpha1.RunOnce:
		return false
	}
	return true // Always, the default
}

// leftOff is the report of a guest that stays off.
func leftOff(vm *v1alpha1.VirtualMachine, host *v1alpha1.HostStatus, e ending) *Report {
	if host != nil && host.State == v1alpha1.HostEnded && host.Reason == e.reason {
		return &Report{State: v1alpha1.HostEnded, Reason: host.Reason, Message: host.Message}
	}
	return &Report{State: v1alpha1.HostEnded, Reason: e.reason, Message: fmt.Sprintf("%s; %s", e.Words, remedy(vm))}
}

// ranOnce is the report of a VM that has run and is to be started a second time.
func ranOnce(vm *v1alpha1.VirtualMachine) *Report {
	return &Report{
		State: v1alpha1.HostEnded, Reason: v1alpha1.ReasonRanOnce,
		Message: "the guest has run already; " + remedy(vm),
	}
}

func remedy(vm *v1alpha1.VirtualMachine) string {
	if vm.Spec.RunPolicy == v1alpha1.RunOnce {
		return "spec.runPolicy Once: it is not started again, unless spec.runPolicy is changed"
	}
	return fmt.Sprintf("spec.runPolicy %s: to start it, set spec.powerState to Stopped and, when the VM is, to Running", vm.Spec.RunPolicy)
}
