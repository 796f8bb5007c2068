package packages

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// confineVariable has this program confine itself as the unit that it names asks of
// systemd, and become the program of its arguments.
const confineVariable = "DOMUS_CONFINE"

// writableVariable names a folder that stays writable: the cluster's, which a host
// would not have.
const writableVariable = "DOMUS_CONFINE_WRITABLE"

// settings are a unit's, of section Service; a list may have several lines.
type settings map[string][]string

func readUnit(path string) (settings, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	s, section := settings{}, ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}
		if key, value, ok := strings.Cut(line, "="); ok && section == "[Service]" && !strings.HasPrefix(line, "#") {
			s[key] = append(s[key], value)
		}
	}
	return s, nil
}

func (s settings) one(key string) string { return strings.Join(s[key], " ") }

// confine does what systemd would do before it starts the unit's program: the file
// system is read-only but for the unit's own folders, capabilities are those of the
// unit, memory is not both written and executed, and system calls, namespaces and
// address families are the unit's. It returns only on failure.
func confine(path string, program []string) error {
	runtime.LockOSThread() // all this is of a thread, and the program has the thread's
	s, err := readUnit(path)
	if err != nil {
		return err
	}
	filter, err := s.filter()
	if err != nil {
		return err
	}
	for _, step := range []func() error{s.mounts, s.capabilities, s.privileges} {
		if err := step(); err != nil {
			return err
		}
	}
	program = append(program, strings.Fields(s.one("ExecStart"))...)
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DOMUS_CONFINE") })
	if err := install(filter); err != nil {
		return fmt.Errorf("filtering system calls: %w", err)
	}
	return syscall.Exec(program[0], program, environment)
}

func (s settings) mounts() error {
	if s.one("ProtectSystem") != "strict" {
		return errors.New("the unit's ProtectSystem is not strict, which is what is tried here")
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	writable := []string{os.Getenv(writableVariable), filepath.Join("/var/lib", s.one("StateDirectory")), filepath.Join("/var/log", s.one("LogsDirectory"))}
	for _, dir := range writable {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("making the file system read-only: %w", err)
	}
	// PrivateTmp and the folders of the unit.
	for _, dir := range writable {
		if err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("leaving %s writable: %w", dir, err)
		}
	}
	temporary := filepath.Join(writable[0], "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", temporary)
}

// capabilityNumbers are of linux/capability.h, as far as units here name them.
var capabilityNumbers = map[string]uintptr{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_KILL": unix.CAP_KILL,
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
}

func (s settings) capabilities() error {
	var keep []uintptr
	for _, name := range strings.Fields(s.one("CapabilityBoundingSet")) {
		number, ok := capabilityNumbers[name]
		if !ok {
			return fmt.Errorf("this test does not know %s", name)
		}
		keep = append(keep, number)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(keep, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	return nil
}

func (s settings) privileges() error {
	const refuseExecGain = 1
	if s.one("NoNewPrivileges") != "yes" || s.one("MemoryDenyWriteExecute") != "yes" {
		return errors.New("the unit lacks NoNewPrivileges or MemoryDenyWriteExecute, which are tried here")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_MDWE, refuseExecGain, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err // before Linux 6.3 there is no such thing but by a filter
	}
	return nil
}

// filter is the program by which the kernel judges system calls.
func (s settings) filter() ([]bpf.Instruction, error) {
	allowed, err := systemCalls(s.one("SystemCallFilter"))
	if err != nil {
		return nil, err
	}
	var families []uint32
	for _, name := range strings.Fields(s.one("RestrictAddressFamilies")) {
		number, ok := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}[name]
		if !ok {
			return nil, fmt.Errorf("this test does not know %s", name)
		}
		families = append(families, number)
	}
	const (
		number, argument = 0, 16 // offsets in struct seccomp_data
		namespaces       = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	)
	allow, refuse := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: number, Size: 4}}
	// A socket of another family, and threads in new namespaces, which clone3 hides
	// from filters: systemd says of that that there is no such call.
	program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: uint8(2 + 2*len(families))}, bpf.LoadAbsolute{Off: argument, Size: 4})
	for _, family := range families {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: family, SkipTrue: 1}, allow)
	}
	program = append(program, refuse,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE, SkipTrue: 1}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_UNSHARE, SkipTrue: 4},
		bpf.LoadAbsolute{Off: argument, Size: 4}, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaces, SkipTrue: 1}, refuse, allow,
	)
	for _, call := range allowed {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, allow)
	}
	return append(program, refuse), nil
}

// systemCalls are the numbers of a group of systemd's, as this machine has them.
func systemCalls(group string) ([]uint32, error) {
	header, err := os.ReadFile("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
	if err != nil {
		return nil, fmt.Errorf("reading the numbers of system calls: %w: install linux-libc-dev", err)
	}
	numbers := map[string]uint32{}
	for line := range strings.Lines(string(header)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[1], "__NR_") {
			n, err := strconv.ParseUint(f[2], 10, 32)
			if err == nil {
				numbers[strings.TrimPrefix(f[1], "__NR_")] = uint32(n)
			}
		}
	}
	var out []uint32
	seen := map[string]bool{}
	for groups := strings.Fields(group); len(groups) > 0; groups = groups[1:] {
		if seen[groups[0]] {
			continue
		}
		seen[groups[0]] = true
		text, err := exec.Command("systemd-analyze", "syscall-filter", groups[0]).Output()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", groups[0], err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			name := strings.TrimSpace(line)
			switch n, known := numbers[name]; {
			case strings.HasPrefix(line, "    @"):
				groups = append(groups, name)
			case known:
				out = append(out, n)
			}
		}
	}
	if len(out) < 100 {
		return nil, fmt.Errorf("%s has %d system calls only", group, len(out))
	}
	// systemd allows what it needs itself to start a program: @default.
	return out, nil
}

func install(instructions []bpf.Instruction) error {
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
