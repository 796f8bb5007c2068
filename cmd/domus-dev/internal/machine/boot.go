package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// boot turns fresh namespaces into a host: private mounts, its own /proc and
// /sys, libvirt folders and hugepages, a name, and loopback.
func boot(l layout.Layout, node string) error {
	// Without this the mounts below would show on the machine itself.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := mountSys(l); err != nil {
		fmt.Fprintf(os.Stderr, "host-init: /sys is the machine's, and the host has no networks of its own: %v\n", err)
	}
	// What a boot must not find: domains that 'run' and sockets that are dead.
	if err := empty(l.SocketDir()); err != nil {
		return fmt.Errorf("emptying %s: %w", l.SocketDir(), err)
	}
	mounts := map[string]string{runLibvirt: l.SocketDir()}
	for at, part := range parts {
		mounts[at] = l.Host(part)
	}
	for at, from := range mounts {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", at, err)
		}
		if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", from, at, err)
		}
	}
	if err := hideMachineBus(l); err != nil {
		return err
	}
	if err := mountHugepages(l); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(node)); err != nil {
		return fmt.Errorf("naming the host: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bringing loopback up: %w", err)
	}
	return nil
}

// mountSys lays a /sys over the machine's, which shows the machine's network
// interfaces: libvirt sets bridges up by it. Control groups stay the machine's.
func mountSys(l layout.Layout) error {
	const groups = "/sys/fs/cgroup"
	aside := l.Host("cgroup")
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(groups, aside, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("putting %s aside: %w", groups, err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	if err := unix.Mount(aside, groups, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("putting %s back: %w", groups, err)
	}
	return nil
}

// hideMachineBus keeps libvirtd from the machine's systemd: it would register
// guests there with process ids that mean something else outside.
func hideMachineBus(l layout.Layout) error {
	const bus = "/run/dbus"
	if _, err := os.Stat(bus); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	nothing := l.Host("no-bus")
	if err := os.MkdirAll(nothing, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", nothing, err)
	}
	if err := unix.Mount(nothing, bus, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("hiding %s: %w", bus, err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
