package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

const (
	// steady is how long libvirtd must have run for its next end to be met
	// with the shortest pause again.
	steady = 10 * time.Second
	// firstPause and longestPause bound the wait before libvirtd is started again.
	firstPause   = 500 * time.Millisecond
	longestPause = 2 * time.Second
	// stopGrace is how long libvirtd may take to end when the host is switched off.
	stopGrace = 3 * time.Second
)

// Init is the host's first process. It boots the host, keeps libvirtd running
// and reaps what is left to it, QEMU processes among others. It returns on
// SIGTERM or SIGINT; with its end the kernel ends everything in the host.
func Init(l layout.Layout, node string) error {
	if os.Getpid() != 1 {
		return errors.New("host-init is started by `domus-dev up` as the first process of new namespaces, not by hand")
	}
	// Registered before anything is started, so that no end is missed.
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	off := make(chan os.Signal, 1)
	signal.Notify(off, unix.SIGTERM, unix.SIGINT)

	if err := boot(l, node); err != nil {
		return fmt.Errorf("booting the host: %w", err)
	}
	path, err := exec.LookPath("libvirtd")
	if err != nil {
		return fmt.Errorf("looking for libvirtd: %w; run make deps", err)
	}
	d := &daemon{path: path, pause: firstPause}
	if err := d.start(); err != nil {
		return err
	}
	again := make(<-chan time.Time)
	for {
		select {
		case <-children:
			if reap(d.pid) {
				pause := d.ended(time.Now())
				fmt.Fprintf(os.Stderr, "host-init: libvirtd ended; starting it again in %s\n", pause)
				again = time.After(pause)
			}
		case <-again:
			if err := d.start(); err != nil {
				return err
			}
		case <-off:
			d.stop()
			return nil
		}
	}
}

// daemon is the host's libvirtd. It runs in the foreground: as a child of
// Init its end is seen at once. Its guests do not end with it.
type daemon struct {
	path    string
	pid     int // 0 while it does not run
	started time.Time
	pause   time.Duration
}

func (d *daemon) start() error {
	forgotten, err := forgetBegunStarts(runLibvirt + "/qemu")
	for _, name := range forgotten {
		fmt.Fprintf(os.Stderr, "host-init: libvirtd ended while it was about to start a guest, which is forgotten: %s\n", name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "host-init: %v\n", err) // libvirtd may start all the same
	}
	// Not os/exec: it would compete with reap for the exit status.
	pid, err := syscall.ForkExec(d.path,
		[]string{d.path, "-f", "/etc/libvirt/libvirtd.conf", "-p", runLibvirt + "/libvirtd.pid"},
		&syscall.ProcAttr{
			Env:   []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"},
			Files: []uintptr{0, 1, 2},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
	if err != nil {
		return fmt.Errorf("starting libvirtd: %w", err)
	}
	d.pid, d.started = pid, time.Now()
	return nil
}

// ended notes that libvirtd has ended and returns how long to wait before it
// is started again: twice as long each time, unless it had run well.
func (d *daemon) ended(now time.Time) time.Duration {
	d.pid = 0
	if now.Sub(d.started) >= steady {
		d.pause = firstPause
	}
	pause := d.pause
	d.pause = min(2*d.pause, longestPause)
	return pause
}

func (d *daemon) stop() {
	if d.pid == 0 || unix.Kill(d.pid, unix.SIGTERM) != nil {
		return
	}
	for deadline := time.Now().Add(stopGrace); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if reap(d.pid) {
			return
		}
	}
}

// reap collects every child that has ended, and says whether pid was one.
func reap(pid int) bool {
	found := false
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got <= 0 {
			return found
		}
		if got == pid {
			found = true
			fmt.Fprintf(os.Stderr, "host-init: libvirtd (pid %d) ended with status %d, signal %d\n", got, status.ExitStatus(), status.Signal())
		}
	}
}
