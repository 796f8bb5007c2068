// Package netspace keeps network namespaces that have a name: a file to which the
// kernel's namespace is bound, so that it lives without a process in it.
package netspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// settings are what a new namespace is told before it has an interface: the
// guest alone speaks on a card, so the namespace's own IP does not, and it is no
// router. Linux passes IPv4's settings of the host on to new namespaces.
var settings = []Setting{
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv6/conf/all/forwarding", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	// No link-local address is made: it would be the guest's own.
	{"net/ipv6/conf/default/addr_gen_mode", "1"},
}

// Setting is a value below /proc/sys.
type Setting struct{ Name, Value string }

// Set writes settings of the network namespace that the calling thread is in.
// What the kernel does not have, such as IPv6, is left out.
func Set(settings ...Setting) error {
	for _, s := range settings {
		err := os.WriteFile(filepath.Join("/proc/sys", s.Name), []byte(s.Value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("setting %s: %w", s.Name, err)
		}
	}
	return nil
}

// Do runs f on a thread in the namespace at path; in the caller's own when path is
// empty. Goroutines that f starts are not in it; processes are.
func Do(path string, f func() error) error {
	if path == "" {
		return f()
	}
	target, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	defer func() { _ = target.Close() }()
	return inside(func() error {
		if err := netns.Set(target); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", path, err)
		}
		return f()
	})
}

// inside runs f on a thread that ends with it, or is back where it was.
func inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		before, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("opening the thread's network namespace: %w", err)
			return
		}
		defer func() { _ = before.Close() }()
		err = f()
		// A thread that cannot go back is not given to another goroutine: it ends
		// with this one.
		if netns.Set(before) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Exists says whether there is a namespace at path. A file alone is none: it is
// what a crash leaves, or a reboot where the folder outlives it.
func Exists(path string) (bool, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for network namespace %s: %w", path, err)
	}
	return fs.Type == unix.NSFS_MAGIC, nil
}

// Create makes a namespace at path, unless there is one.
func Create(path string) error {
	there, err := Exists(path)
	if err != nil || there {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making network namespace %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return fmt.Errorf("making network namespace %s: %w", path, err)
	}
	_ = file.Close()
	return inside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making network namespace %s: %w", path, err)
		}
		if err := Set(settings...); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("setting up lo in network namespace %s: %w", path, err)
		}
		// Bound last: what has a name is complete.
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("naming network namespace %s: %w", path, err)
		}
		return nil
	})
}

// Remove takes the name away, and with it the namespace and what is in it.
func Remove(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err == nil {
			continue // one may lie on another
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		return fmt.Errorf("removing network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing network namespace %s: %w", path, err)
	}
	return nil
}

// List names what is in dir, in order.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing network namespaces: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// Whole has list repeated while the kernel says that what it lists changed meanwhile.
func Whole[T any](list func() ([]T, error)) ([]T, error) {
	for tries := 0; ; tries++ {
		all, err := list()
		if tries == 20 || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
}

// Handle is rtnetlink in the namespace at path, or in the caller's own. The caller
// closes it.
func Handle(path string) (*netlink.Handle, error) {
	if path == "" {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, fmt.Errorf("opening rtnetlink: %w", err)
		}
		return h, nil
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening rtnetlink in network namespace %s: %w", path, err)
	}
	return h, nil
}
