package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"domus.dev/domus/test/internal/live"
)

// allowed is on which CPUs the kernel lets a guest run, in Linux list format.
type allowed struct {
	// vcpus has the threads of vCPUs, by number.
	vcpus map[int]string
	// ioThreads has the I/O threads, by number.
	ioThreads map[int]string
	// emulator is QEMU's main thread.
	emulator string
}

// allowedCPUs asks the kernel about the QEMU process pid, which names its
// threads: CPU 0/TCG, CPU 1/KVM, IO iothread1.
func allowedCPUs(pid int) (allowed, error) {
	out := allowed{vcpus: map[int]string{}, ioThreads: map[int]string{}}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return out, err
	}
	for _, task := range tasks {
		status, err := os.ReadFile(filepath.Join(task, "status"))
		if err != nil {
			continue // a thread that has ended
		}
		fields := live.StatusFields(string(status))
		var number int
		switch name := fields["Name"]; {
		case scan(name, "CPU %d/", &number):
			out.vcpus[number] = fields["Cpus_allowed_list"]
		case scan(name, "IO iothread%d", &number):
			out.ioThreads[number] = fields["Cpus_allowed_list"]
		case filepath.Base(task) == strconv.Itoa(pid):
			out.emulator = fields["Cpus_allowed_list"]
		}
	}
	return out, nil
}

// mapping is memory of a process in hugepages.
type mapping struct {
	// policy is how its pages are allocated, and of which nodes: bind:0.
	policy string
	// pages counts, by NUMA node, those it has.
	pages map[int]int
}

// hugeMappings are those of the process pid in pages of 2 MiB, by numa_maps(5).
func hugeMappings(t *testing.T, pid int) []mapping {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []mapping
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.Contains(line, " huge ") || !strings.HasSuffix(strings.TrimSpace(line), " kernelpagesize_kB=2048") {
			continue
		}
		m := mapping{policy: fields[1], pages: map[int]int{}}
		for _, field := range fields[2:] {
			var node, n int
			if found, _ := fmt.Sscanf(field, "N%d=%d", &node, &n); found == 2 {
				m.pages[node] = n
			}
		}
		out = append(out, m)
	}
	return out
}
