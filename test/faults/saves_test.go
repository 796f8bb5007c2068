package faults

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"domus.dev/domus/test/internal/live"
)

// Faults that strike halfway through a managed save.
var (
	killedQEMUAmidSave = amidSave("QEMU killed", func(t *testing.T, s *subject) {
		signal(t, s.process().pid, syscall.SIGKILL)
	})
	// killedExecutorAmidSave: the save goes on when another executor is there.
	killedExecutorAmidSave = amidSave("vm-executor killed", func(t *testing.T, _ *subject) {
		kill(t, executor)
		up(t)
	})
	killedLibvirtdAmidSave = amidSave("libvirtd killed", func(t *testing.T, _ *subject) { killLibvirtd(t) })
	rebootedAmidSave       = amidSave("host loses power", func(t *testing.T, s *subject) {
		kill(t, realHost, executor)
		within(t, settleTime, "nothing runs on the host", func() string { return want("QEMU", s.process().pid, 0) })
	})
)

// amidSave is a fault that strikes while a guest's memory is half written.
func amidSave(what string, strike func(t *testing.T, s *subject)) *fault {
	var s *stalled
	return &fault{
		name: what + " halfway through a save", alone: true,
		prepare: func(t *testing.T) { s = stallSave(t) },
		strike: func(t *testing.T, hit []*subject) {
			s.begun(t, hit[0])
			strike(t, hit[0])
		},
		heal: func(t *testing.T, _ []*subject) {
			s.goOn()
			up(t)
		},
		after: func(*testing.T) { s.goOn() },
	}
}

// stalled is a save that stands still halfway: libvirt has a guest's memory
// written by a process of its own (src/util/iohelper.c), which is stopped as soon
// as it is there. QEMU has no more than a pipe's room to write to then.
type stalled struct {
	found  chan int
	writer int
}

// stallSave stops the next save of the real host.
func stallSave(t *testing.T) *stalled {
	t.Helper()
	s := &stalled{found: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	libvirtd, err := env.Libvirtd()
	must(t, err)
	go func() {
		for ctx.Err() == nil {
			for _, pid := range live.Processes() {
				name, parent := live.NameAndParent(pid)
				// The kernel keeps 15 letters of it.
				if parent == libvirtd && strings.HasPrefix(name, "libvirt_iohelp") && syscall.Kill(pid, syscall.SIGSTOP) == nil {
					s.found <- pid
					return
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return s
}

// begun waits until the save stands still.
func (s *stalled) begun(t *testing.T, of *subject) {
	t.Helper()
	within(t, settleTime, "the memory of "+of.name+" is being saved", func() string {
		select {
		case s.writer = <-s.found:
		default:
		}
		if s.writer == 0 {
			return "nothing writes it"
		}
		is, err := env.Virsh("domstate", "--reason", of.uuid)
		if err != nil {
			return err.Error()
		}
		return want("its state", strings.TrimSpace(is), "paused (saving)")
	})
}

// goOn lets it be written on, if anybody still does.
func (s *stalled) goOn() {
	if s.writer != 0 {
		_ = syscall.Kill(s.writer, syscall.SIGCONT)
	}
	s.writer = 0
}
