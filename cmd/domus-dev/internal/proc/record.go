// Package proc starts processes that outlive their starter, and ends exactly
// those: a process is known by its id together with its start time, so that
// an id used again by a stranger is never mistaken for ours.
package proc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Record is what is remembered of a started process.
type Record struct {
	// Name of the component.
	Name string `json:"name"`
	// PID is the process id as this machine's init sees it.
	PID int `json:"pid"`
	// StartTicks is the process's start, in clock ticks since boot: field 22 of
	// /proc/PID/stat.
	StartTicks uint64 `json:"startTicks"`
	// BootID tells one boot of the machine from another.
	BootID string `json:"bootID"`
	// Fingerprint changes when the component would be started differently.
	Fingerprint string `json:"fingerprint"`
	// Argv is what was started, for people.
	Argv []string `json:"argv"`
	// StartedAt is when.
	StartedAt time.Time `json:"startedAt"`
}

// Load reads a record. It returns nil when there is none.
func Load(path string) (*Record, error) {
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of a process: %w", err)
	}
	r := &Record{}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return r, nil
}

func (r *Record) save(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	// Written beside and renamed, so that a kill in between leaves no half file.
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Alive says whether the recorded process still runs. A zombie does not.
func (r *Record) Alive() bool {
	if r == nil || r.BootID != bootID() {
		return false
	}
	s, err := readStat(r.PID)
	return err == nil && s.startTicks == r.StartTicks && s.state != 'Z' && s.state != 'X'
}

type stat struct {
	state      byte
	startTicks uint64
}

func readStat(pid int) (stat, error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(content)
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The command name is in
// parentheses and may contain anything, parentheses and spaces included.
func parseStat(content []byte) (stat, error) {
	end := bytes.LastIndexByte(content, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no command name in %q", content)
	}
	fields := strings.Fields(string(content[end+1:]))
	// fields[0] is field 3, the state; the start time is field 22.
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("%d fields in %q", len(fields), content)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("reading the start time: %w", err)
	}
	return stat{state: fields[0][0], startTicks: ticks}, nil
}

func bootID() string {
	content, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// fingerprint sums up the program file, its arguments and the files it reads.
func fingerprint(spec Spec) (string, error) {
	info, err := os.Stat(spec.Path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	// Writing to a hash never fails.
	_, _ = fmt.Fprintf(sum, "%d %d\n%q\n", info.Size(), info.ModTime().UnixNano(), spec.argv())
	for _, path := range spec.Inputs {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%d\n%s", len(content), content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
