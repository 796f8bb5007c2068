// Package machine is a host of its own inside this machine: a libvirtd with
// real QEMU in its own process, mount, network, name and IPC namespaces. What
// happens to it never touches the machine's own libvirt.
package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// qemuConf suits a host that its own namespaces confine: guests run as root
// of the machine, no security driver labels files, and cgroups are left to the
// machine, since they are not the namespaces' own. stdio_handler=file writes
// consoles without virtlogd.
const qemuConf = `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
vnc_listen = "127.0.0.1"
`

// libvirtdConf has the host's UUID to fill in; without one, libvirt would take
// the machine's.
const libvirtdConf = `auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
host_uuid = %q
log_filters = "3:*"
log_outputs = "3:stderr"
`

// parts are the folders that a host has of its own: where libvirt expects
// each, and its name in the layout. Its run folder comes on top.
var parts = map[string]string{
	"/etc/libvirt":       "etc",
	"/var/lib/libvirt":   "lib",
	"/var/cache/libvirt": "cache",
	"/var/log/libvirt":   "log",
}

// runLibvirt is where libvirt keeps its sockets and what must not outlive a boot.
const runLibvirt = "/run/libvirt"

// Prepare writes the host's folders and libvirt's configuration, unless they
// are there.
func Prepare(l layout.Layout) error {
	for _, part := range parts {
		if err := os.MkdirAll(l.Host(part), 0o755); err != nil {
			return fmt.Errorf("making the host's folders: %w", err)
		}
	}
	for _, dir := range []string{l.SocketDir(), l.Consoles(), imagesDir(l)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the host's folders: %w", err)
		}
	}
	files := map[string]string{
		"qemu.conf":     qemuConf,
		"libvirtd.conf": fmt.Sprintf(libvirtdConf, uuid.NewSHA1(uuid.NameSpaceURL, []byte("file://"+l.Dir)).String()),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(l.Host("etc"), name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("configuring the host's libvirtd: %w", err)
		}
	}
	return nil
}
