package wire

import (
	"encoding/binary"
	"net"
	"reflect"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UDP ports of DHCPv4 (RFC 2131, 4.1).
const (
	serverPort = 67
	clientPort = 68
)

// rule is what becomes of frames that come in by an interface. Rules are tried in
// order; a frame that none matches goes to the namespace's own IP, which drops it.
type rule struct {
	// port matches IPv4 UDP to that port, and source frames of that card, those to
	// groups alone where group is set; a rule without either matches all.
	port   uint16
	source net.HardwareAddr
	group  bool
	// to is the index of the interface by which the frame leaves; 0 hands it to
	// the namespace itself.
	to int
}

// path is the rules of the four interfaces between a guest and its network.
type path struct{ tap, outer, inner, card []rule }

// indexes are the kernel's numbers of the interfaces, each in its own namespace.
type indexes struct{ tap, outer, inner, card int }

// nowhere is the loopback interface, which has the same number in each namespace: it
// takes no part in ARP, and nothing listens there. Kernels may lack an action that
// drops.
const nowhere = 1

// plan leads the guest's frames to the card and back. Nothing but the card's own
// address leaves it. What the guest said to all does not come back to it: a bridge in
// hairpin mode sends it back, and a guest may take its own question whether an address
// is in use (RFC 4862, 5.4) for another's. Where addresses are given out by Domus, the
// guest's questions for one end in the VM's namespace, and answers of others do not
// reach it.
func plan(at indexes, mac net.HardwareAddr, served bool) path {
	p := path{
		tap:   []rule{{to: at.outer}},
		outer: []rule{{to: at.tap}},
		inner: []rule{{source: mac, to: at.card}},
		card:  []rule{{source: mac, group: true, to: nowhere}, {to: at.inner}},
	}
	if served {
		p.inner = slices.Insert(p.inner, 0, rule{port: serverPort})
		p.card = slices.Insert(p.card, 0, rule{port: clientPort})
	}
	return p
}

// keys are the 32-bit words that a u32 filter compares; offsets are from the IP
// header, before which lies Ethernet's: 6 bytes to, 6 bytes from, 2 bytes type.
func (r rule) keys() []netlink.TcU32Key {
	switch {
	case r.port != 0:
		return []netlink.TcU32Key{
			{Off: 8, Mask: 0x00ff0000, Val: unix.IPPROTO_UDP << 16},
			{Off: 20, Mask: 0x0000ffff, Val: uint32(r.port)},
		}
	case len(r.source) == 6:
		keys := []netlink.TcU32Key{
			{Off: -8, Mask: 0xffffffff, Val: binary.BigEndian.Uint32(r.source[:4])},
			{Off: -4, Mask: 0xffff0000, Val: uint32(binary.BigEndian.Uint16(r.source[4:])) << 16},
		}
		if r.group {
			keys = append(keys, netlink.TcU32Key{Off: -14, Mask: 0x01000000, Val: 0x01000000})
		}
		return keys
	default:
		return []netlink.TcU32Key{{}}
	}
}

// filter is the rule as the kernel's traffic control takes it; u32 and mirred are
// in every distribution's kernel, while flower, matchall and gact may be missing.
func (r rule) filter(link, position int) *netlink.U32 {
	f := &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link,
			Parent:    netlink.MakeHandle(0xffff, 0),
			Priority:  uint16(position + 1),
			Protocol:  unix.ETH_P_ALL,
		},
		ClassId: netlink.MakeHandle(1, 1),
		// Without this a filter with no action matches nothing. The library sends keys up
		// to the capacity.
		Sel: &netlink.TcU32Sel{Flags: netlink.TC_U32_TERMINAL, Keys: slices.Clip(r.keys())},
	}
	if r.port != 0 {
		f.Protocol = unix.ETH_P_IP
	}
	if r.to != 0 {
		f.Actions = []netlink.Action{netlink.NewMirredAction(r.to)}
	}
	return f
}

// seen is what of a filter says which rule it is.
type seen struct {
	Priority, Protocol uint16
	Keys               []netlink.TcU32Key
	To                 int
}

func (r rule) seen(position int) seen {
	f := r.filter(0, position)
	return seen{Priority: f.Priority, Protocol: f.Protocol, Keys: f.Sel.Keys, To: r.to}
}

// look reads filters as the kernel lists them: among them are hash tables, which
// have no keys. ok is false when there is one of another kind.
func look(filters []netlink.Filter) (all []seen, ok bool) {
	for _, f := range filters {
		u, is := f.(*netlink.U32)
		if !is {
			return nil, false
		}
		if u.Sel == nil {
			continue
		}
		all = append(all, seen{Priority: u.Priority, Protocol: u.Protocol, Keys: u.Sel.Keys, To: u.RedirIndex})
	}
	slices.SortFunc(all, func(a, b seen) int { return int(a.Priority) - int(b.Priority) })
	return all, true
}

// same says whether the filters are the rules.
func same(rules []rule, filters []netlink.Filter) bool {
	have, ok := look(filters)
	want := make([]seen, 0, len(rules))
	for i, r := range rules {
		want = append(want, r.seen(i))
	}
	return ok && reflect.DeepEqual(have, want)
}
