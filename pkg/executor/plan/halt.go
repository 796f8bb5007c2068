package plan

import (
	"fmt"
	"strings"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A save that takes longer than saveGrace, and what writing the memory at
	// saveRate (bytes per second) takes, is given up: libvirt was seen to save for
	// good. A slow disk writes twice as fast.
	saveGrace = 2 * time.Minute
	saveRate  = 64 << 20
)

// SaveTime is how long saving the VM's memory may take.
func SaveTime(vm *v1alpha1.VirtualMachine) time.Duration {
	var memory int64
	if p := vm.Status.Placement; p != nil {
		memory = capacity.MostMemory(p.Granted)
	}
	return saveGrace + time.Duration(memory/saveRate)*time.Second
}

// pause halts the guest, if there is one.
func pause(in Situation, host *v1alpha1.HostStatus) Decision {
	d := in.Domain
	switch {
	case d == nil || !d.State.Active():
		return noGuest(in, host, "there is no guest to pause: set spec.powerState to Running to start it")
	case saving(in) && ours(in, host):
		return abortSave(in)
	}
	switch d.State {
	case libvirt.StateRunning:
		return attempt(in, StepSuspend, &Report{State: v1alpha1.HostRunning})
	case libvirt.StatePaused:
		switch d.Reason {
		case libvirt.ReasonCrashed:
			return Decision{Report: crashed()}
		case libvirt.ReasonStarting:
			return Decision{Report: Paused(d), RequeueAfter: Settle} // paused once it runs
		}
		return Decision{Report: Paused(d)}
	case libvirt.StateCrashed:
		return Decision{Report: crashed()}
	}
	return Decision{RequeueAfter: Settle}
}

// suspend saves the guest's memory, if there is a guest, and ends it.
func suspend(in Situation, host *v1alpha1.HostStatus) Decision {
	d := in.Domain
	switch {
	case d == nil || !d.State.Active():
		return noGuest(in, host, "there is no guest whose memory could be saved: set spec.powerState to Running to start it")
	case saving(in):
		left := in.Memory.SaveSince.Add(SaveTime(in.VM)).Sub(in.Now)
		if left <= 0 {
			return abortSave(in)
		}
		return Decision{Report: beingSaved(d, "the guest's memory is being saved"), RequeueAfter: min(left, AskAgain)}
	}
	switch {
	case d.State == libvirt.StateRunning:
		return attempt(in, StepSave, &Report{State: v1alpha1.HostRunning})
	case d.State == libvirt.StateCrashed, d.State == libvirt.StatePaused && d.Reason == libvirt.ReasonCrashed:
		return Decision{Report: crashed()}
	case d.State == libvirt.StatePaused && d.Reason != libvirt.ReasonDumping && d.Reason != libvirt.ReasonBetween && d.Reason != libvirt.ReasonStarting:
		return attempt(in, StepSave, Paused(d))
	}
	return Decision{RequeueAfter: Settle}
}

// noGuest reports on a VM that shall be paused or suspended and has no guest for
// it.
func noGuest(in Situation, host *v1alpha1.HostStatus, why string) Decision {
	if in.Domain != nil && in.Domain.Saved {
		r := &Report{State: v1alpha1.HostSuspended}
		if in.VM.Spec.PowerState != v1alpha1.PowerSuspended {
			r.Message = "the guest's memory is saved: set spec.powerState to Running to have it go on"
		}
		return Decision{Report: r}
	}
	how, ended := endingOf(in, host)
	switch {
	case ended && in.VM.Spec.RunPolicy == v1alpha1.RunOnce:
		return Decision{Report: leftOff(in.VM, host, how)}
	case in.VM.RanOnce():
		return Decision{Report: ranOnce(in.VM)}
	case ended && how.Words != "":
		why = how.Words + "; " + why
	case host != nil && host.State == v1alpha1.HostStopped && strings.HasSuffix(host.Message, why):
		why = host.Message // which said how it ended
	}
	return Decision{Report: &Report{State: v1alpha1.HostStopped, Message: why}}
}

// Paused reports on a guest whose CPUs stand still.
func Paused(d *ownership.Observed) *Report {
	r := &Report{State: v1alpha1.HostPaused, Message: d.Reason}
	switch d.Reason {
	case libvirt.ReasonDiskError:
		r.Reason = v1alpha1.ReasonDiskFull
		r.Message = "a disk of the guest could not be written, for want of space as a rule: make room where it lies; a guest that shall run is let go on by itself then"
	case libvirt.ReasonStarting:
		r.Reason = v1alpha1.ReasonStarting
		r.Message = fmt.Sprintf("libvirt is starting the guest; where that lasts, libvirtd was killed while it was about to, and does nothing more with it: "+
			"on the host, stop libvirtd, remove /run/libvirt/qemu/%s.xml, and start libvirtd, which no guest notices", d.Name)
	case libvirt.ReasonPausedByUser:
		r.Message = "" // as was asked for, or about to be changed
	}
	return r
}

// beingSaved reports on a guest during a save, which halts it when it begins.
func beingSaved(d *ownership.Observed, message string) *Report {
	r := &Report{State: v1alpha1.HostPaused, Reason: v1alpha1.ReasonSaving, Message: message}
	if d.State == libvirt.StateRunning {
		r.State = v1alpha1.HostRunning
	}
	return r
}

// saving says whether a save goes on in the domain, or was asked for just now.
func saving(in Situation) bool { return !in.Memory.SaveSince.IsZero() }

// ours says whether a save goes on that we asked for; status.host remembers it
// over a restart.
func ours(in Situation, host *v1alpha1.HostStatus) bool {
	return saving(in) && (in.Memory.SaveAsked || host != nil && host.Reason == v1alpha1.ReasonSaving)
}

// abortSave ends a save that takes too long or is not wanted any more. The guest
// goes on.
func abortSave(in Situation) Decision {
	m := in.Memory
	if left := m.AbortedAt.Add(AskAgain).Sub(in.Now); !m.AbortedAt.IsZero() && left > 0 {
		message := "the save of the guest's memory was told to end and has not ended; where that lasts, the host's disk or QEMU hangs, and spec.powerState Stopped switches the guest off"
		if m.AbortError != "" {
			message = "the save of the guest's memory cannot be ended, and is tried again; spec.powerState Stopped switches the guest off: " + m.AbortError
		}
		return Decision{Report: beingSaved(in.Domain, message), RequeueAfter: min(left, Settle)}
	}
	return Decision{Steps: []Step{StepAbortSave}, Again: true}
}
