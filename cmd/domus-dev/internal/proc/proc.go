package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxLogBytes is the size past which a log is set aside (once) at a start.
const maxLogBytes = 16 << 20

// Spec is a process to run.
type Spec struct {
	// Name of the component.
	Name string
	// Path of the program, and its arguments without the program itself.
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Inputs are files whose change asks for a restart.
	Inputs []string
	// LogFile gets the output; RecordFile remembers the process.
	LogFile    string
	RecordFile string
	// Namespaces are CLONE_NEW* flags for new namespaces, of which the process
	// becomes the first.
	Namespaces uintptr
	// KeepOnChange leaves a running process alone even when it would be
	// started differently now: ending it would hurt others.
	KeepOnChange bool
}

func (s Spec) argv() []string { return append([]string{s.Path}, s.Args...) }

// Outcome says what Ensure did.
type Outcome string

// What Ensure can have done.
const (
	Running   Outcome = "already running"
	Started   Outcome = "started"
	Restarted Outcome = "restarted, since it changed"
)

// Ensure starts the process unless it runs already. One that runs and would be
// started differently now (another binary, other arguments or inputs) is ended
// first, unless KeepOnChange is set.
func Ensure(spec Spec) (*Record, Outcome, error) {
	old, err := Load(spec.RecordFile)
	if err != nil {
		return nil, "", err
	}
	sum, err := fingerprint(spec)
	if err != nil {
		return nil, "", fmt.Errorf("looking at %s: %w", spec.Name, err)
	}
	outcome := Started
	if old.Alive() {
		if old.Fingerprint == sum || spec.KeepOnChange {
			return old, Running, nil
		}
		outcome = Restarted
		if err := old.Stop(10 * time.Second); err != nil {
			return nil, "", err
		}
	}
	r, err := start(spec)
	if err != nil {
		return nil, "", fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	r.Fingerprint = sum
	if err := r.save(spec.RecordFile); err != nil {
		// Unrecorded it could never be ended again.
		_ = r.Stop(0)
		return nil, "", fmt.Errorf("recording %s: %w", spec.Name, err)
	}
	return r, outcome, nil
}

func start(spec Spec) (*Record, error) {
	for _, dir := range []string{filepath.Dir(spec.LogFile), filepath.Dir(spec.RecordFile)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(spec.LogFile); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(spec.LogFile, spec.LogFile+".1"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own: the terminal's signals do not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: spec.Namespaces}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s, err := readStat(cmd.Process.Pid)
	// Reap it when it ends while this process still lives; afterwards init does.
	go func() { _ = cmd.Wait() }()
	if err != nil {
		return nil, fmt.Errorf("it ended at once: %w", err)
	}
	return &Record{
		Name: spec.Name, PID: cmd.Process.Pid, StartTicks: s.startTicks, BootID: bootID(),
		Argv: spec.argv(), StartedAt: time.Now().UTC().Truncate(time.Second),
	}, nil
}

// Stop asks the process to end, and ends it when it has not within grace. A
// process that is gone, or is not the recorded one, is left alone.
func (r *Record) Stop(grace time.Duration) error {
	if !r.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ending %s (pid %d): %w", r.Name, r.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor is bound to one process for good: look again whether it is ours.
	if !r.Alive() {
		return nil
	}
	if grace > 0 {
		if err := signal(fd, unix.SIGTERM); err != nil {
			return fmt.Errorf("ending %s (pid %d): %w", r.Name, r.PID, err)
		}
		if r.gone(fd, grace) {
			return nil
		}
	}
	if err := signal(fd, unix.SIGKILL); err != nil {
		return fmt.Errorf("killing %s (pid %d): %w", r.Name, r.PID, err)
	}
	if !r.gone(fd, 10*time.Second) {
		return fmt.Errorf("%s (pid %d) is still there 10s after SIGKILL: it may be stuck in the kernel", r.Name, r.PID)
	}
	return nil
}

func signal(fd int, sig unix.Signal) error {
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// gone waits until the process has ended: its descriptor becomes readable.
func (r *Record) gone(fd int, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return !r.Alive()
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return !r.Alive()
		}
		if n > 0 {
			return true
		}
	}
}
