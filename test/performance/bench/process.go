package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// process is a running program of which the kernel's figures are read.
type process struct{ pid int }

// child finds this process' child of that name. envtest does not tell.
func child(comm string) (*process, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	for _, p := range all {
		stat, err := p.Stat()
		if err == nil && stat.Comm == comm && stat.PPID == os.Getpid() {
			return &process{pid: p.PID}, nil
		}
	}
	return nil, fmt.Errorf("no child process is called %s", comm)
}

// cpuSeconds is user and system time since the process began.
func (p *process) cpuSeconds() (float64, error) {
	proc, err := procfs.NewProc(p.pid)
	if err != nil {
		return 0, fmt.Errorf("reading process %d: %w", p.pid, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading process %d: %w", p.pid, err)
	}
	return stat.CPUTime(), nil
}

// peakMiB is the largest resident memory since the process began or forgetPeak.
func (p *process) peakMiB() (float64, error) {
	proc, err := procfs.NewProc(p.pid)
	if err != nil {
		return 0, fmt.Errorf("reading process %d: %w", p.pid, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0, fmt.Errorf("reading process %d: %w", p.pid, err)
	}
	return float64(status.VmHWM) / (1 << 20), nil
}

// forgetPeak begins a new measurement of peakMiB; see proc_pid_clear_refs(5).
func (p *process) forgetPeak() error {
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.pid), "clear_refs"), []byte("5"), 0o200); err != nil {
		return fmt.Errorf("resetting the peak memory of process %d: %w", p.pid, err)
	}
	return nil
}

// again kills the process and starts the same program with the same arguments;
// what it says goes to a file.
func (p *process) again(logFile string) (*restarted, error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	defer func() { _ = log.Close() }()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "cmdline"))
	if err != nil {
		return nil, fmt.Errorf("reading the command line of process %d: %w", p.pid, err)
	}
	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		args = append(args, string(arg))
	}
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("killing process %d: %w", p.pid, err)
	}
	// Its port must be free.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && p.runs(); {
		time.Sleep(10 * time.Millisecond)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s again: %w", args[0], err)
	}
	p.pid = cmd.Process.Pid
	return &restarted{cmd: cmd}, nil
}

// runs says whether the process has not ended yet.
func (p *process) runs() bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// restarted is a process that this one has started again.
type restarted struct{ cmd *exec.Cmd }

func (r *restarted) end() { _, _ = r.cmd.Process.Kill(), r.cmd.Wait() }
