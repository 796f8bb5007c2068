package cni

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// host is a network namespace with what a host has on disk.
type host struct {
	t       *testing.T
	dir     string
	space   string
	options cni.Options
}

func newHost(t *testing.T) *host {
	t.Helper()
	plugins, err := pluginDir()
	must(t, err)
	h := &host{t: t, dir: t.TempDir()}
	h.space = h.newSpace("host")
	h.options = cni.Options{
		ConfigDir: filepath.Join(h.dir, "net.d"), PluginDirs: []string{plugins}, Networks: []string{cni.AnyNetwork},
		StateDir: filepath.Join(h.dir, "state"), SpaceDir: filepath.Join(h.dir, "spaces"), HostSpace: h.space,
	}
	must(t, os.MkdirAll(h.options.ConfigDir, 0o755))
	must(t, netspace.Do(h.space, func() error {
		return netspace.Set(netspace.Setting{Name: "net/ipv4/ip_forward", Value: "1"})
	}))
	t.Cleanup(func() {
		left, _ := netspace.List(h.options.SpaceDir)
		for _, name := range left {
			must(t, netspace.Remove(filepath.Join(h.options.SpaceDir, name)))
		}
	})
	return h
}

// newSpace is a network namespace that ends with the test.
func (h *host) newSpace(name string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, "spaces-of-the-test", name)
	must(h.t, netspace.Create(path))
	h.t.Cleanup(func() { must(h.t, netspace.Remove(path)) })
	return path
}

// manager is a vm-executor's, until the test ends.
func (h *host) manager() *cni.Manager {
	h.t.Helper()
	m, err := cni.New(h.options, testr.NewWithOptions(h.t, testr.Options{Verbosity: 2}))
	must(h.t, err)
	h.t.Cleanup(m.Close)
	return m
}

// network writes a configuration of the host; $DIR in it is the host's folder.
func (h *host) network(name, config string) {
	h.t.Helper()
	config = strings.ReplaceAll(config, "$DIR", h.dir)
	if !json.Valid([]byte(config)) {
		h.t.Fatalf("the test's configuration %s is no JSON: %s", name, config)
	}
	must(h.t, os.WriteFile(filepath.Join(h.options.ConfigDir, name+".conflist"), []byte(config), 0o644))
}

// bridged is a bridge with addresses of 10.7.SUBNET.0/24.
func (h *host) bridged(name string, subnet int) {
	h.network(name, fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [{
		"type": "bridge", "bridge": "br%d", "isGateway": true, "isDefaultGateway": true, "mtu": 1400,
		"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.7.%d.0/24"}]]},
		"dns": {"nameservers": ["10.7.%d.1"], "search": ["guests.test"]}}]}`, name, subnet, subnet, subnet))
}

// vm is one that is to have a card.
func vm(name, card, network string) cni.Attachment {
	return cni.Attachment{Namespace: "team", Name: name, UID: types.UID(uuid.NewString()), Card: card, Network: network, Hostname: name}
}

// state is all that CNI may leave on a host: interfaces, namespaces, addresses given
// out, records, caches and rules.
func (h *host) state() string {
	h.t.Helper()
	var b bytes.Buffer
	must(h.t, netspace.Do(h.space, func() error {
		links, err := netspace.Whole(netlink.LinkList)
		if err != nil {
			return err
		}
		var names []string
		for _, l := range links {
			names = append(names, l.Type()+" "+l.Attrs().Name)
		}
		slices.Sort(names)
		fmt.Fprintln(&b, "interfaces:", strings.Join(names, ", "))
		out, err := exec.Command("iptables", "-S", "-t", "nat").CombinedOutput()
		fmt.Fprintf(&b, "rules: %s %v\n", out, err)
		return nil
	}))
	spaces, err := netspace.List(h.options.SpaceDir)
	must(h.t, err)
	fmt.Fprintln(&b, "namespaces:", spaces)
	for _, dir := range []string{filepath.Join(h.dir, "ipam"), h.options.StateDir} {
		must(h.t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			// host-local keeps the last address and its lock.
			if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), "last_reserved_ip") && e.Name() != "lock" {
				fmt.Fprintln(&b, "file:", path)
			}
			return err
		}))
	}
	return b.String()
}

// has says whether the kernel can do what f tries, in a namespace of its own.
func (h *host) has(what string, f func() error) bool {
	h.t.Helper()
	path := filepath.Join(h.dir, "probe")
	must(h.t, netspace.Create(path))
	defer func() { must(h.t, netspace.Remove(path)) }()
	err := netspace.Do(path, f)
	h.t.Logf("kernel: %s: %v", what, map[bool]any{true: "yes", false: err}[err == nil])
	return err == nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is for a machine that is busy with other things.
const patience = 60 * time.Second

// netspaceMove puts an interface into another namespace.
func netspaceMove(link netlink.Link, space string) error {
	file, err := os.Open(space)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return netlink.LinkSetNsFd(link, int(file.Fd()))
}

// bridge makes one on the host.
func (h *host) bridge(name string) error {
	return netspace.Do(h.space, func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})
	})
}
