package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

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
