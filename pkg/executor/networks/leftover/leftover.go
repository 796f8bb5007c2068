// Package leftover removes what a libvirtd leaves of a network that was killed while
// it started it: a bridge that it does not know of any more, and a DHCP server on it.
// libvirt would refuse to start the network for ever, since both are there.
package leftover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// defaultSocket is libvirtd's own.
const defaultSocket = "/run/libvirt/libvirt-sock"

// Cleaner cleans up in the network namespace of one libvirtd, which may be another
// than this process's.
type Cleaner struct{ socket string }

// New returns a Cleaner for the libvirtd at uri, such as qemu:///system or
// qemu+unix:///system?socket=/run/x.
func New(uri string) *Cleaner {
	socket := defaultSocket
	if u, err := url.Parse(uri); err == nil && u.Query().Get("socket") != "" {
		socket = u.Query().Get("socket")
	}
	return &Cleaner{socket: socket}
}

// Clean ends the DHCP server that was started for the libvirt network, and removes
// the bridge, of a network that libvirt does not have as active. The bridge must have
// been made for the network alone. One that has ports, or is no bridge, is left as it
// is; where there is none of both that is success.
func (c *Cleaner) Clean(ctx context.Context, network, bridge string) error {
	if err := endServers(network); err != nil {
		return err
	}
	space, err := c.namespace(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = space.Close() }()
	handle, err := handleIn(space)
	if err != nil {
		return fmt.Errorf("entering libvirtd's network namespace: %w", err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(bridge)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return nil
	case err != nil:
		return fmt.Errorf("looking for bridge %s: %w", bridge, err)
	case link.Type() != "bridge":
		return fmt.Errorf("removing bridge %s, which libvirt does not know of: it is a %s", bridge, link.Type())
	}
	all, err := handle.LinkList()
	if err != nil {
		return fmt.Errorf("looking for the ports of bridge %s: %w", bridge, err)
	}
	for _, port := range all {
		if port.Attrs().MasterIndex == link.Attrs().Index {
			return fmt.Errorf("removing bridge %s, which libvirt does not know of: %s is a port of it", bridge, port.Attrs().Name)
		}
	}
	if err := handle.LinkDel(link); err != nil {
		return fmt.Errorf("removing bridge %s, which libvirt does not know of: %w", bridge, err)
	}
	return nil
}

// handleIn is rtnetlink in the namespace. Our own is not entered, which would take a
// right that nothing else here takes: CAP_SYS_ADMIN.
func handleIn(space netns.NsHandle) (*netlink.Handle, error) {
	own, err := netns.Get()
	if err != nil {
		return nil, err
	}
	defer func() { _ = own.Close() }()
	if own.Equal(space) {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	return netlink.NewHandleAt(space, unix.NETLINK_ROUTE)
}

// namespace is that of the process that serves libvirt's socket.
func (c *Cleaner) namespace(ctx context.Context) (netns.NsHandle, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return netns.None(), fmt.Errorf("looking for libvirtd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return netns.None(), fmt.Errorf("looking for libvirtd: %w", err)
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || asked != nil {
		return netns.None(), fmt.Errorf("looking for libvirtd: %w", errors.Join(err, asked))
	}
	if peer.Pid == 0 { // in a process namespace that this one does not see
		return netns.None(), errors.New("libvirtd's process is not to be seen from here: run vm-executor in the host's process namespace")
	}
	space, err := netns.GetFromPid(int(peer.Pid))
	if err != nil {
		return netns.None(), fmt.Errorf("opening libvirtd's network namespace: %w", err)
	}
	return space, nil
}

// endServers ends the dnsmasq processes of the network, which its configuration's
// name tells: that has the VirtualNetwork's UID in it.
func endServers(network string) error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	config := []byte("--conf-file=/var/lib/libvirt/dnsmasq/" + network + ".conf")
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		arguments := bytes.Split(line, []byte{0})
		if len(arguments) < 2 || filepath.Base(string(arguments[0])) != "dnsmasq" || !bytes.Equal(arguments[1], config) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending the DHCP server of network %s: %w", network, err)
		}
	}
	return nil
}
