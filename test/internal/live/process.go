package live

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// QEMU is the process that runs a domain; 0 when there is none.
func QEMU(uuid string) int {
	for _, pid := range Processes() {
		command := CommandLine(pid)
		if strings.Contains(command, "qemu-system") && strings.Contains(command, "-uuid "+uuid) {
			return pid
		}
	}
	return 0
}

// Processes lists the process ids of the machine.
func Processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// CommandLine is empty for a process that has ended.
func CommandLine(pid int) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(content), "\x00", " ")
}

// NameAndParent are a process's own name and its parent's id; 0 when it has ended.
func NameAndParent(pid int) (name string, parent int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", 0
	}
	fields := StatusFields(string(content))
	parent, _ = strconv.Atoi(fields["PPid"])
	return fields["Name"], parent
}

// StatusFields reads proc_pid_status(5).
func StatusFields(status string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}
