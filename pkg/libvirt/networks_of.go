package libvirt

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// HostInterfaces implements Host.
func (c *connection) HostInterfaces(ctx context.Context) ([]HostInterface, error) {
	const doing = "listing the host's network interfaces"
	out, err := call(ctx, c, doing, func(conn *lv.Connect) ([]HostInterface, error) {
		all, err := conn.ListAllInterfaces(0)
		if err != nil {
			return nil, err
		}
		defer free(all, (*lv.Interface).Free)
		var out []HostInterface
		for i := range all {
			doc, err := all[i].GetXMLDesc(0)
			if err != nil {
				continue // it has gone since it was listed
			}
			var d libvirtxml.Interface
			if err := d.Unmarshal(doc); err != nil {
				return nil, err
			}
			if d.Name == "lo" {
				continue
			}
			out = append(out, HostInterface{Name: d.Name, Bridge: d.Bridge != nil})
		}
		slices.SortFunc(out, func(a, b HostInterface) int { return cmp.Compare(a.Name, b.Name) })
		return out, nil
	})
	if errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	return out, err
}

// Networks implements Host.
func (c *connection) Networks(ctx context.Context) ([]Network, error) {
	return call(ctx, c, "listing the networks", func(conn *lv.Connect) ([]Network, error) {
		all, err := conn.ListAllNetworks(0)
		if err != nil {
			return nil, err
		}
		defer free(all, (*lv.Network).Free)
		var out []Network
		for i := range all {
			n, err := networkOf(&all[i])
			if isCode(err, lv.ERR_NO_NETWORK) {
				continue // it has gone since it was listed
			}
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
		slices.SortFunc(out, func(a, b Network) int { return cmp.Compare(a.Name, b.Name) })
		return out, nil
	})
}

func networkOf(n *lv.Network) (out Network, err error) {
	if out.XML, err = n.GetXMLDesc(0); err != nil {
		return out, err
	}
	var d libvirtxml.Network
	if err := d.Unmarshal(out.XML); err != nil {
		return out, err
	}
	out.Name, out.UUID = d.Name, d.UUID
	if d.Bridge != nil {
		out.Bridge = d.Bridge.Name
	}
	if d.Metadata != nil {
		out.Metadata = d.Metadata.XML
	}
	if out.Active, err = n.IsActive(); err != nil {
		return out, err
	}
	persistent, err := n.IsPersistent()
	if err != nil || !persistent {
		return out, err
	}
	out.Defined, err = nextStart(lv.NETWORK_XML_INACTIVE, n.GetXMLDesc)
	return out, err
}

// DefineNetwork implements Host.
func (c *connection) DefineNetwork(ctx context.Context, xml string) error {
	_, err := call(ctx, c, "defining a network", func(conn *lv.Connect) (struct{}, error) {
		n, err := conn.NetworkDefineXML(xml)
		if err == nil {
			_ = n.Free()
		}
		return struct{}{}, err
	})
	return err
}

// onNetwork runs fn with the network.
func onNetwork[T any](ctx context.Context, c *connection, name, doing string, fn func(*lv.Network) (T, error)) (T, error) {
	return call(ctx, c, doing, func(conn *lv.Connect) (out T, err error) {
		n, err := conn.LookupNetworkByName(name)
		if err != nil {
			return out, explainNetwork(doing, err)
		}
		defer func() { _ = n.Free() }()
		out, err = fn(n)
		return out, explainNetwork(doing, err)
	})
}

// StartNetwork implements Host.
func (c *connection) StartNetwork(ctx context.Context, name string) error {
	_, err := onNetwork(ctx, c, name, "starting network "+name, func(n *lv.Network) (struct{}, error) {
		if is, err := n.IsActive(); err != nil || is {
			return struct{}{}, err
		}
		err := n.Create()
		if err != nil {
			if is, again := n.IsActive(); again == nil && is {
				err = nil // somebody else was faster
			}
		}
		return struct{}{}, err
	})
	return err
}

// StopNetwork implements Host.
func (c *connection) StopNetwork(ctx context.Context, name string) error {
	_, err := onNetwork(ctx, c, name, "stopping network "+name, func(n *lv.Network) (struct{}, error) {
		if is, err := n.IsActive(); err != nil || !is {
			return struct{}{}, err
		}
		return struct{}{}, n.Destroy()
	})
	return unlessGone(err)
}

// UndefineNetwork implements Host.
func (c *connection) UndefineNetwork(ctx context.Context, name string) error {
	_, err := onNetwork(ctx, c, name, "undefining network "+name, func(n *lv.Network) (struct{}, error) {
		if persistent, err := n.IsPersistent(); err != nil || !persistent {
			return struct{}{}, err
		}
		return struct{}{}, n.Undefine()
	})
	return unlessGone(err)
}

func unlessGone(err error) error {
	if errors.Is(err, ErrNoNetwork) {
		return nil
	}
	return err
}

// SetDHCPHost implements Host.
func (c *connection) SetDHCPHost(ctx context.Context, name string, subnet int, host string, remove bool) error {
	_, err := onNetwork(ctx, c, name, "changing the addresses of network "+name, func(n *lv.Network) (struct{}, error) {
		command := lv.NETWORK_UPDATE_COMMAND_ADD_LAST
		if remove {
			command = lv.NETWORK_UPDATE_COMMAND_DELETE
		}
		flags := lv.NETWORK_UPDATE_AFFECT_CONFIG
		if is, err := n.IsActive(); err != nil {
			return struct{}{}, err
		} else if is {
			flags |= lv.NETWORK_UPDATE_AFFECT_LIVE
		}
		return struct{}{}, n.Update(command, lv.NETWORK_SECTION_IP_DHCP_HOST, subnet, host, flags)
	})
	return err
}

// Leases implements Host.
func (c *connection) Leases(ctx context.Context, name string) ([]Lease, error) {
	return onNetwork(ctx, c, name, "reading the leases of network "+name, func(n *lv.Network) ([]Lease, error) {
		all, err := n.GetDHCPLeases()
		if err != nil {
			return nil, err
		}
		var out []Lease
		for _, l := range all {
			out = append(out, Lease{MAC: strings.ToLower(l.Mac), Address: l.IPaddr})
		}
		return out, nil
	})
}

// What libvirt says in words alone of a network that cannot be started. Source:
// libvirt 9.0.0's src/network/bridge_driver_linux.c and bridge_driver.c.
var networkBusyWords = []string{"Network is already in use by interface", "already in use by network", "File exists", "Address already in use", "bridge name '"}

// explainNetwork turns an error of the binding about a network into an *Error.
func explainNetwork(doing string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	var e lv.Error
	if !errors.As(err, &e) {
		return explain(doing, err)
	}
	out := &Error{Doing: doing, Code: int(e.Code), Message: e.Message}
	switch {
	case e.Code == lv.ERR_NO_NETWORK:
		out.kind = ErrNoNetwork
	case contains(e.Message, networkBusyWords):
		out.kind = ErrNetworkBusy
	default:
		return explain(doing, err)
	}
	return out
}
