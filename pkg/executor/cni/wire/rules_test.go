package wire

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

var mac = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}

func TestPlan(t *testing.T) {
	at := indexes{tap: 1, outer: 2, inner: 3, card: 4}
	unexported := cmp.AllowUnexported(path{}, rule{})
	want := path{
		tap:   []rule{{to: 2}},
		outer: []rule{{to: 1}},
		inner: []rule{{source: mac, to: 4}},
		card:  []rule{{source: mac, group: true, to: 1}, {to: 3}},
	}
	if diff := cmp.Diff(want, plan(at, mac, false), unexported); diff != "" {
		t.Errorf("the network answers for addresses (-want +got):\n%s", diff)
	}
	want.inner = []rule{{port: 67}, {source: mac, to: 4}}
	want.card = []rule{{port: 68}, {source: mac, group: true, to: 1}, {to: 3}}
	if diff := cmp.Diff(want, plan(at, mac, true), unexported); diff != "" {
		t.Errorf("Domus answers for addresses (-want +got):\n%s", diff)
	}
}

// match is what u32 does with a frame whose IP header begins at byte 14.
func match(f *netlink.U32, frame []byte) bool {
	for _, k := range f.Sel.Keys {
		at := 14 + int(k.Off)
		if at < 0 || at+4 > len(frame) {
			return false
		}
		word := uint32(frame[at])<<24 | uint32(frame[at+1])<<16 | uint32(frame[at+2])<<8 | uint32(frame[at+3])
		if word&k.Mask != k.Val {
			return false
		}
	}
	return true
}

func frame(source net.HardwareAddr, protocol byte, port uint16) []byte {
	f := make([]byte, 14+28)
	copy(f[6:], source)
	f[12], f[13] = 8, 0
	f[14] = 0x45
	f[14+9] = protocol
	f[14+22], f[14+23] = byte(port>>8), byte(port)
	return f
}

func TestFilter(t *testing.T) {
	other := net.HardwareAddr{0x52, 0x54, 0, 1, 2, 4}
	toAll := func(f []byte) []byte {
		copy(f, []byte{0x33, 0x33, 0, 0, 0, 1})
		return f
	}
	for name, c := range map[string]struct {
		rule  rule
		frame []byte
		want  bool
	}{
		"all":                   {rule{to: 1}, frame(mac, 6, 80), true},
		"its card":              {rule{source: mac, to: 1}, frame(mac, 6, 80), true},
		"another card":          {rule{source: mac, to: 1}, frame(other, 6, 80), false},
		"a card alike in front": {rule{source: mac, to: 1}, frame(net.HardwareAddr{0x52, 0x54, 0, 1, 9, 3}, 6, 80), false},
		"its card, to all":      {rule{source: mac, group: true, to: 1}, toAll(frame(mac, 17, 5353)), true},
		"its card, to one":      {rule{source: mac, group: true, to: 1}, frame(mac, 17, 5353), false},
		"another card, to all":  {rule{source: mac, group: true, to: 1}, toAll(frame(other, 17, 5353)), false},
		"DHCP":                  {rule{port: 67}, frame(mac, 17, 67), true},
		"UDP to another port":   {rule{port: 67}, frame(mac, 17, 68), false},
		"TCP to that port":      {rule{port: 67}, frame(mac, 6, 67), false},
	} {
		f := c.rule.filter(7, 0)
		if match(f, c.frame) != c.want {
			t.Errorf("%s: matched is %v", name, !c.want)
		}
		if f.Sel.Flags&netlink.TC_U32_TERMINAL == 0 {
			t.Errorf("%s: the filter never ends the search", name)
		}
		if redirects := len(f.Actions) == 1; redirects != (c.rule.to != 0) {
			t.Errorf("%s: actions are %v", name, f.Actions)
		}
	}
}

func TestSame(t *testing.T) {
	rules := []rule{{port: 67}, {source: mac, to: 4}}
	// As the kernel lists them: with hash tables, in no order, and with the target read
	// from the action.
	listed := func(rules []rule) (all []netlink.Filter) {
		for i, r := range rules {
			f := r.filter(7, i)
			f.RedirIndex = r.to
			all = append([]netlink.Filter{f}, all...)
			all = append(all, &netlink.U32{FilterAttrs: f.FilterAttrs})
		}
		return all
	}
	for name, c := range map[string]struct {
		have []netlink.Filter
		want bool
	}{
		"as they are":     {listed(rules), true},
		"none":            {nil, false},
		"one less":        {listed(rules[:1]), false},
		"one more":        {listed(append(rules[:2:2], rule{to: 9})), false},
		"another target":  {listed([]rule{rules[0], {source: mac, to: 5}}), false},
		"another's":       {append(listed(rules), &netlink.BpfFilter{}), false},
		"in other order":  {listed([]rule{rules[1], rules[0]}), false},
		"another address": {listed([]rule{rules[0], {source: net.HardwareAddr{2, 0, 0, 0, 0, 1}, to: 4}}), false},
	} {
		if same(rules, c.have) != c.want {
			t.Errorf("%s: same is %v", name, !c.want)
		}
	}
}
