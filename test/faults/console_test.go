package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// word is what a guest says of itself.
type word struct {
	// boot is the kernel's id of this boot: another one after every start.
	boot string
	// up is how long the kernel has run, and when it said so.
	up time.Duration
	at time.Time
}

const (
	// askEvery is how often a guest is asked again: one that boots loses what is
	// typed.
	askEvery = 3 * time.Second
	// question has the number of the question to fill in, so that no answer is
	// taken for another's.
	question = "\necho SAYS-%d $(cat /proc/sys/kernel/random/boot_id) $(cut -d' ' -f1 /proc/uptime) END\n"
)

var (
	questions atomic.Int64
	answer    = regexp.MustCompile(`SAYS-(\d+) ([0-9a-f-]{36}) ([0-9.]+) END`)
)

// ask asks the guest that a QEMU process runs, in its shell on the serial
// console, who it is. It works without libvirtd and without the API server.
func ask(pid int, timeout time.Duration) (word, error) {
	var w word
	number := questions.Add(1)
	err := converse(pid, fmt.Sprintf(question, number), timeout, func(said string) bool {
		for _, found := range answer.FindAllStringSubmatch(said, -1) {
			seconds, err := strconv.ParseFloat(found[3], 64)
			if found[1] == strconv.FormatInt(number, 10) && err == nil {
				w = word{boot: found[2], up: time.Duration(seconds * float64(time.Second)), at: time.Now()}
				return true
			}
		}
		return false
	})
	return w, err
}

// count asks the guest how many lines of one of its files have the text.
func count(pid int, text, file string, timeout time.Duration) (int, error) {
	lines := 0
	number := questions.Add(1)
	found := regexp.MustCompile(fmt.Sprintf(`LINES-%d ([0-9]+) END`, number))
	ask := fmt.Sprintf("\necho LINES-%d $(grep -cF '%s' %s) END\n", number, text, file)
	err := converse(pid, ask, timeout, func(said string) bool {
		parts := found.FindStringSubmatch(said)
		if parts == nil {
			return false
		}
		lines, _ = strconv.Atoi(parts[1])
		return true
	})
	return lines, err
}

// converse types a line on the guest's console, again and again, until enough
// has been said.
func converse(pid int, line string, timeout time.Duration, enough func(said string) bool) error {
	path, err := terminal(pid)
	if err != nil {
		return err
	}
	// Without blocking, so that a read can have a deadline.
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("opening the console of process %d: %w", pid, err)
	}
	defer func() { _ = tty.Close() }()
	var said strings.Builder
	buffer := make([]byte, 4096)
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		if _, err := tty.WriteString(line); err != nil && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("typing on the console of process %d: %w", pid, err)
		}
		for again := time.Now().Add(askEvery); time.Now().Before(again); {
			if err := tty.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				return err
			}
			n, err := tty.Read(buffer)
			said.Write(buffer[:n])
			if enough(said.String()) {
				return nil
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("reading the console of process %d: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("the guest of process %d does not answer on its console within %s; it said: %q", pid, timeout, said.String())
}

// terminal is the other end of the pseudo-terminal that QEMU has open.
func terminal(pid int) (string, error) {
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return "", err
	}
	for _, fd := range descriptors {
		if target, err := os.Readlink(fd); err != nil || !strings.HasSuffix(target, "ptmx") {
			continue
		}
		info, err := os.ReadFile(strings.Replace(fd, "/fd/", "/fdinfo/", 1))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(info)) {
			if index, is := strings.CutPrefix(line, "tty-index:"); is {
				return "/dev/pts/" + strings.TrimSpace(index), nil
			}
		}
	}
	return "", fmt.Errorf("process %d has no pseudo-terminal open", pid)
}
