// Package layout says where each file of an embedded cluster lies. Everything
// is below one folder, so that removing the folder removes the cluster.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// maxSocketPath is what a Unix socket's path may have, without the ending NUL:
// sun_path in unix(7).
const maxSocketPath = 107

// shortSocketRoot holds the socket folders of clusters whose own path is too long.
const shortSocketRoot = "/run/domus-dev"

// Layout is the folder of one cluster, absolute.
type Layout struct {
	// Dir is the absolute path of the folder.
	Dir string
}

// New returns the layout below dir.
func New(dir string) (Layout, error) {
	abs, err := filepath.Abs(dir)
	return Layout{Dir: abs}, err
}

// State is the file that remembers what was chosen once: ports, hosts.
func (l Layout) State() string { return filepath.Join(l.Dir, "state.json") }

// Lock is held while the cluster is being changed.
func (l Layout) Lock() string { return filepath.Join(l.Dir, "lock") }

// PKI holds the authorities, server certificates and keys.
func (l Layout) PKI() string { return filepath.Join(l.Dir, "pki") }

// AdminKubeconfig is the user's way in.
func (l Layout) AdminKubeconfig() string { return filepath.Join(l.Dir, "kubeconfig") }

// Kubeconfig is the kubeconfig of a component or of a host's executor.
func (l Layout) Kubeconfig(name string) string {
	return filepath.Join(l.PKI(), "kubeconfigs", name+".kubeconfig")
}

// Config is the configuration file of a component.
func (l Layout) Config(name string) string { return filepath.Join(l.Dir, "config", name) }

// Log is where a component's output goes.
func (l Layout) Log(name string) string { return filepath.Join(l.Dir, "logs", name+".log") }

// AuditLog is the API server's audit log; rotated ones lie beside it.
func (l Layout) AuditLog() string { return filepath.Join(l.Dir, "logs", "audit", "audit.log") }

// PID is where a component's process is recorded.
func (l Layout) PID(name string) string { return filepath.Join(l.Dir, "run", name+".json") }

// Data is a component's own data.
func (l Layout) Data(name string) string { return filepath.Join(l.Dir, "data", name) }

// Consoles holds what the real host's guests write on their serial consoles.
func (l Layout) Consoles() string { return filepath.Join(l.Dir, "logs", "consoles") }

// Console is one guest's console log, as vm-executor names it.
func (l Layout) Console(namespace, name string) string {
	return filepath.Join(l.Consoles(), namespace+"_"+name+".log")
}

// Seeds holds what the real host's guests are told when they start.
func (l Layout) Seeds() string { return filepath.Join(l.Dir, "seeds") }

// Images is the folder whose files are images for the real host.
func (l Layout) Images() string { return filepath.Join(l.Dir, "images") }

// Host is what the private host sees as /etc/libvirt and its like.
func (l Layout) Host(part string) string { return filepath.Join(l.Dir, "host", part) }

// CNI is a part of what the private host's CNI has: its configurations (net.d), what
// is known of guests' cards (state) and their network namespaces (netns).
func (l Layout) CNI(part string) string { return filepath.Join(l.Host("cni"), part) }

// HostNetwork leads to the private host's network namespace while it runs.
func (l Layout) HostNetwork() string { return l.Host("network") }

// Second is the layout of the second host with real guests, of which the rest of
// the cluster is in l.
func (l Layout) Second() Layout { return Layout{Dir: filepath.Join(l.Dir, "second")} }

// LibvirtSocketName is libvirtd's socket in its run folder.
const LibvirtSocketName = "libvirt-sock"

// SocketDir is the folder bound to the private host's /run/libvirt. It lies
// elsewhere when the cluster's path is too long for a Unix socket.
func (l Layout) SocketDir() string {
	dir := l.Host("run")
	if len(filepath.Join(dir, LibvirtSocketName+"-ro")) <= maxSocketPath {
		return dir
	}
	sum := sha256.Sum256([]byte(l.Dir))
	return filepath.Join(shortSocketRoot, hex.EncodeToString(sum[:6]))
}

// SocketDirOutside is true when SocketDir is not below Dir and must be removed
// on its own.
func (l Layout) SocketDirOutside() bool { return l.SocketDir() != l.Host("run") }

// LibvirtURI reaches the private libvirtd from outside its namespaces.
func (l Layout) LibvirtURI() string {
	return "qemu+unix:///system?socket=" + filepath.Join(l.SocketDir(), LibvirtSocketName)
}
