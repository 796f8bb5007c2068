package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// expectation is what should become of a VM.
type expectation struct {
	says string
	// after says what of it is not (yet) true once the fault is over; before is
	// from just before the fault. What the guest says may not be known yet.
	after func(before, after observation) string
	// amid is held while the fault lasts, as far as it can be seen without the API
	// server and without libvirt; nil holds nothing.
	amid func(s *subject, before observation) string
	// finally is done last of all, and says what went wrong; nil does nothing.
	finally func(ctx context.Context, s *subject, before observation) (observation, string)
}

// amidTime is how long a guest may take to answer while a fault lasts.
const amidTime = 20 * time.Second

// all joins what is not true.
func all(what ...string) string {
	var wrong []string
	for _, w := range what {
		if w != "" {
			wrong = append(wrong, w)
		}
	}
	return strings.Join(wrong, "; ")
}

func want[T comparable](what string, got, want T) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s: %v instead of %v", what, got, want)
}

// sameGuest says what shows that the guest is another one, or another life of it.
func sameGuest(before, after observation) string {
	wrong := []string{
		want("QEMU's process", after.qemu, before.qemu),
		want("boots on the console", after.boots, before.boots),
	}
	if before.said != nil && after.said != nil {
		wrong = append(wrong, want("the boot's id in the guest", after.said.boot, before.said.boot))
		if after.said.up <= before.said.up {
			wrong = append(wrong, fmt.Sprintf("uptime in the guest: %s after %s", after.said.up, before.said.up))
		}
	}
	return all(wrong...)
}

// sameBinding says what of where the VM is bound, and since when, has changed.
func sameBinding(before, after observation) string {
	if before.vm == nil || after.vm == nil || before.vm.Status.Placement == nil || after.vm.Status.Placement == nil {
		return "it is not there, or not bound"
	}
	return all(
		want("epoch", after.vm.Status.Epoch, before.vm.Status.Epoch),
		want("host", after.vm.Status.Placement.NodeName, before.vm.Status.Placement.NodeName),
	)
}

func running(o observation) string {
	wrong := want("phase", o.phase(), v1alpha1.PhaseRunning)
	if o.qemu.pid == 0 {
		wrong = all(wrong, "no QEMU runs it")
	}
	return all(wrong, want("quarantined for", o.quarantined, ""))
}

func off(o observation) string {
	return all(want("phase", o.phase(), v1alpha1.PhaseStopped), want("QEMU's process", o.qemu.pid, 0), want("quarantined for", o.quarantined, ""))
}

func startedAt(o observation) string {
	if o.vm == nil || o.vm.Status.Host == nil || o.vm.Status.Host.StartedAt == nil {
		return ""
	}
	return o.vm.Status.Host.StartedAt.UTC().Format(time.RFC3339)
}

// The expectations.
var (
	// runsOn: nothing has happened to the guest, and nothing does meanwhile.
	runsOn = expectation{
		says: "runs on",
		after: func(before, after observation) string {
			return all(running(after), sameGuest(before, after), sameBinding(before, after),
				want("the start that is reported", startedAt(after), startedAt(before)))
		},
		amid: func(s *subject, before observation) string {
			now := observation{qemu: s.process(), boots: before.boots}
			if err := now.hear(amidTime); err != nil {
				return err.Error()
			}
			return sameGuest(before, now)
		},
	}
	// standsStill: its CPUs are stopped meanwhile, and it goes on.
	standsStill = expectation{
		says:  "stands still, then runs on",
		after: runsOn.after,
		amid: func(s *subject, before observation) string {
			return want("QEMU's process", s.process(), before.qemu)
		},
	}
	// bootsAgain: the guest is lost, and another life of it begins in its place.
	bootsAgain = expectation{
		says: "boots again, same host",
		after: func(before, after observation) string {
			wrong := []string{running(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots+1)}
			if before.said != nil && after.said != nil && before.said.boot == after.said.boot {
				wrong = append(wrong, "it is the same boot")
			}
			return all(wrong...)
		},
	}
	// staysOff: it does not run, and does not begin to.
	staysOff = expectation{
		says: "stays off",
		after: func(before, after observation) string {
			return all(off(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots))
		},
		amid: func(s *subject, _ observation) string { return want("QEMU's process", s.process().pid, 0) },
	}
	// startsOnce: it boots, once.
	startsOnce = expectation{
		says: "starts once",
		after: func(_, after observation) string {
			return all(running(after), want("boots on the console", after.boots, 1))
		},
	}
	// starts: it boots, though the fault may have ended a first try.
	starts = expectation{
		says: "starts",
		after: func(_, after observation) string {
			wrong := running(after)
			if after.boots < 1 {
				wrong = all(wrong, "it has not booted")
			}
			return wrong
		},
	}
	// goesOff: it is shut down or switched off, as asked.
	goesOff = expectation{
		says: "goes off, as asked",
		after: func(before, after observation) string {
			return all(off(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots))
		},
	}
	// goes: nothing of it is left, and it never ran again.
	goes = expectation{
		says: "goes, never ran again",
		after: func(_, after observation) string {
			return all(want("phase", after.phase(), "none"), want("QEMU's process", after.qemu.pid, 0), want("libvirt has it", after.domain, false))
		},
		amid: func(s *subject, before observation) string {
			if now := s.process(); now.pid != 0 && now != before.qemu {
				return "it runs again"
			}
			return ""
		},
	}
	// leftAlone: no VM stands for the guest, which runs on, and the host tells.
	leftAlone = expectation{
		says: "guest runs on, quarantined",
		after: func(before, after observation) string {
			wrong := []string{want("phase", after.phase(), "none"), sameGuest(before, after)}
			if after.quarantined == "" {
				wrong = append(wrong, "it is not quarantined")
			}
			return all(wrong...)
		},
		amid: runsOn.amid,
	}
	// obeys: it does what it is told meanwhile: it was stopped and started.
	obeys = expectation{
		says: "can be stopped and started meanwhile",
		after: func(before, after observation) string {
			return all(running(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots+1))
		},
	}
)
