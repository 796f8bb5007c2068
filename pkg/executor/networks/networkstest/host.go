// Package networkstest is a libvirt's networks in memory, for tests.
package networkstest

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"sync"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/libvirt"
)

// Host implements libvirt.Networks. It keeps what libvirt does: a definition that
// replaces another counts from the next start on.
type Host struct {
	mu sync.Mutex
	// Interfaces are the host's.
	Interfaces []libvirt.HostInterface
	// Step, when set, may refuse a change before or after it took effect.
	Step func(what string) (before, after error)
	// Done are the changes, in order.
	Done     []string
	networks map[string]*network
}

type network struct {
	defined, live string
	active        bool
}

// New returns a host without networks.
func New(interfaces ...libvirt.HostInterface) *Host {
	return &Host{Interfaces: interfaces, networks: map[string]*network{}}
}

func (h *Host) change(what string, fn func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var after error
	if h.Step != nil {
		var before error
		if before, after = h.Step(what); before != nil {
			return before
		}
	}
	if err := fn(); err != nil {
		return err
	}
	h.Done = append(h.Done, what)
	return after
}

// HostInterfaces implements libvirt.Networks.
func (h *Host) HostInterfaces(context.Context) ([]libvirt.HostInterface, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.Interfaces), nil
}

// Networks implements libvirt.Networks.
func (h *Host) Networks(context.Context) (out []libvirt.Network, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range h.networks {
		text := n.defined
		if n.active {
			text = n.live
		}
		var d libvirtxml.Network
		if err := d.Unmarshal(text); err != nil {
			return nil, err
		}
		is := libvirt.Network{Name: name, UUID: d.UUID, Active: n.active, XML: text, Defined: n.defined}
		if d.Bridge != nil {
			is.Bridge = d.Bridge.Name
		}
		if d.Metadata != nil {
			is.Metadata = d.Metadata.XML
		}
		out = append(out, is)
	}
	slices.SortFunc(out, func(a, b libvirt.Network) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// DefineNetwork implements libvirt.Networks.
func (h *Host) DefineNetwork(_ context.Context, doc string) error {
	var d libvirtxml.Network
	if err := d.Unmarshal(doc); err != nil {
		return err
	}
	return h.change("define "+d.Name, func() error {
		n := h.networks[d.Name]
		if n == nil {
			n = &network{}
			h.networks[d.Name] = n
		}
		n.defined = doc
		return nil
	})
}

// StartNetwork implements libvirt.Networks.
func (h *Host) StartNetwork(_ context.Context, name string) error {
	return h.change("start "+name, func() error {
		n := h.networks[name]
		if n == nil {
			return libvirt.ErrNoNetwork
		}
		if !n.active {
			n.active, n.live = true, n.defined
		}
		return nil
	})
}

// StopNetwork implements libvirt.Networks.
func (h *Host) StopNetwork(_ context.Context, name string) error {
	return h.change("stop "+name, func() error {
		if n := h.networks[name]; n != nil {
			n.active, n.live = false, ""
		}
		return nil
	})
}

// UndefineNetwork implements libvirt.Networks.
func (h *Host) UndefineNetwork(_ context.Context, name string) error {
	return h.change("undefine "+name, func() error {
		delete(h.networks, name)
		return nil
	})
}

// SetDHCPHost implements libvirt.Networks.
func (h *Host) SetDHCPHost(_ context.Context, name string, subnet int, host string, remove bool) error {
	return h.change(fmt.Sprintf("host %s %d %t", name, subnet, remove), func() error {
		n := h.networks[name]
		if n == nil {
			return libvirt.ErrNoNetwork
		}
		for _, text := range []*string{&n.defined, &n.live} {
			if *text == "" {
				continue
			}
			var d libvirtxml.Network
			if err := d.Unmarshal(*text); err != nil {
				return err
			}
			var one libvirtxml.NetworkDHCPHost
			if err := xml.Unmarshal([]byte(host), &one); err != nil {
				return err
			}
			hosts := &d.IPs[subnet].DHCP.Hosts
			*hosts = slices.DeleteFunc(*hosts, func(o libvirtxml.NetworkDHCPHost) bool {
				return o.MAC == one.MAC && o.IP == one.IP && o.Name == one.Name
			})
			if !remove {
				*hosts = append(*hosts, one)
			}
			text2, err := d.Marshal()
			if err != nil {
				return err
			}
			*text = text2
		}
		return nil
	})
}

// Leases implements libvirt.Networks: nobody asks for one here.
func (h *Host) Leases(context.Context, string) ([]libvirt.Lease, error) { return nil, nil }

// Has says whether there is such a network, and whether it is active.
func (h *Host) Has(name string) (defined, active bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.networks[name]
	return n != nil, n != nil && n.active
}

// Names lists the networks, sorted, in one line.
func (h *Host) Names() string {
	all, _ := h.Networks(context.Background())
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}
