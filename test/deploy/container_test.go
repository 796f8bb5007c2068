package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// containerVariable has, in a child of the test, what container it becomes.
const containerVariable = "DOMUS_TEST_CONTAINER"

// networkFile is the network namespace that the child is given.
const networkFile = 3

// container is what a container runtime is told.
type container struct {
	Root         string
	Hostname     string
	Mounts       []mount
	ReadOnlyRoot bool
	NoNewRights  bool
	UID, GID     int
	// Capabilities are the numbers of those that are kept.
	Capabilities []int
	Args, Env    []string
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

// capabilities are those that the manifests name.
var capabilities = map[corev1.Capability]int{"CHOWN": unix.CAP_CHOWN, "FOWNER": unix.CAP_FOWNER, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH}

// describe makes a container of a pod's, in the image.
func describe(i *image, c corev1.Container, pod *corev1.PodSecurityContext, env, args []string, mounts []mount) (*container, error) {
	out := &container{Root: i.root, Mounts: mounts, Args: append(append([]string{}, i.Config.Entrypoint...), args...), Env: append(append([]string{}, i.Config.Env...), env...)}
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	security := ptr.Deref(c.SecurityContext, corev1.SecurityContext{})
	if _, err := fmt.Sscanf(i.Config.User, "%d:%d", &out.UID, &out.GID); err != nil {
		return nil, fmt.Errorf("the image's user is %q: %w", i.Config.User, err)
	}
	for _, from := range []*int64{pod.RunAsUser, security.RunAsUser} {
		out.UID = int(ptr.Deref(from, int64(out.UID)))
	}
	for _, from := range []*int64{pod.RunAsGroup, security.RunAsGroup} {
		out.GID = int(ptr.Deref(from, int64(out.GID)))
	}
	if ptr.Deref(pod.RunAsNonRoot, false) && out.UID == 0 {
		return nil, fmt.Errorf("runAsNonRoot, and the user is root")
	}
	out.ReadOnlyRoot = ptr.Deref(security.ReadOnlyRootFilesystem, false)
	out.NoNewRights = !ptr.Deref(security.AllowPrivilegeEscalation, true)
	if security.Capabilities == nil || len(security.Capabilities.Drop) != 1 || security.Capabilities.Drop[0] != "ALL" {
		return nil, fmt.Errorf("%s does not drop all capabilities", c.Name)
	}
	for _, add := range security.Capabilities.Add {
		number, known := capabilities[add]
		if !known {
			return nil, fmt.Errorf("capability %s is not one that is expected", add)
		}
		out.Capabilities = append(out.Capabilities, number)
	}
	return out, nil
}

// start runs the container in the network of s. What it prints goes to log.
func (c *container) start(s *space, log *os.File) (*exec.Cmd, error) {
	said, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	network, err := unix.FcntlInt(uintptr(s.handle), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(network), "network namespace")
	defer func() { _ = file.Close() }()
	cmd := exec.Command(self)
	cmd.Env = []string{containerVariable + "=" + string(said)}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		// It must not outlive a test run that is killed.
		Pdeathsig: syscall.SIGKILL,
	}
	return cmd, spawn(cmd)
}

// spawn starts commands in one thread that does not end: the kernel takes the end of
// the thread that started a child for the parent's (PR_SET_PDEATHSIG), and threads that
// were in a pod's network end.
func spawn(cmd *exec.Cmd) error {
	spawning.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range spawns {
				start()
			}
		}()
	})
	done := make(chan error)
	spawns <- func() { done <- cmd.Start() }
	return <-done
}

var (
	spawning sync.Once
	spawns   = make(chan func())
)

// becomeContainer returns only when it fails. It is the first process of its
// namespaces.
func becomeContainer() error {
	runtime.LockOSThread()
	c := &container{}
	if err := json.Unmarshal([]byte(os.Getenv(containerVariable)), c); err != nil {
		return err
	}
	if err := unix.Setns(networkFile, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the pod's network: %w", err)
	}
	if err := unix.Close(networkFile); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return err
	}
	if err := c.mount(); err != nil {
		return err
	}
	if err := unix.Chroot(c.Root); err != nil {
		return fmt.Errorf("entering the root file system: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := c.dropRights(); err != nil {
		return err
	}
	return fmt.Errorf("executing %s: %w", c.Args[0], syscall.Exec(c.Args[0], c.Args, c.Env))
}

func (c *container) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to itself: %w", err)
	}
	if err := unix.Mount(c.Root, c.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting the root file system: %w", err)
	}
	if err := unix.Mount("proc", filepath.Join(c.Root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, m := range c.Mounts {
		target := filepath.Join(c.Root, m.Target)
		if err := unix.Mount(m.Source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
		if m.ReadOnly {
			if err := readOnly(target); err != nil {
				return err
			}
		}
	}
	if c.ReadOnlyRoot {
		return readOnly(c.Root)
	}
	return nil
}

func readOnly(path string) error {
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", path, err)
	}
	return nil
}

// dropRights is about the calling thread alone, whose rights the program gets.
func (c *container) dropRights() error {
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return err
	}
	var highest int
	if _, err := fmt.Sscan(strings.TrimSpace(string(last)), &highest); err != nil {
		return err
	}
	keep := map[int]bool{}
	for _, n := range c.Capabilities {
		keep[n] = true
	}
	for n := 0; n <= highest; n++ {
		if keep[n] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
			return fmt.Errorf("dropping capability %d: %w", n, err)
		}
	}
	if c.NoNewRights {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("leaving groups: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID)); errno != 0 {
		return fmt.Errorf("becoming group %d: %w", c.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID)); errno != 0 {
		return fmt.Errorf("becoming user %d: %w", c.UID, errno)
	}
	return nil
}
