package cni

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni"
)

// defined is a VM's card on a network of a configuration that is not the host's own.
func (h *host) defined(name, network, config string) cni.Attachment {
	a := vm(name, "net0", network)
	a.Config = []byte(strings.ReplaceAll(config, "$DIR", h.dir))
	return a
}

// A configuration that is not the host's own is used where the host lets all of its
// plugins be named, and by no name of the host's own.
func TestDefinitions(t *testing.T) {
	h := newHost(t)
	h.bridged("own", 7)
	const config = `{"cniVersion": "1.0.0", "type": "bridge", "bridge": "br9", "isGateway": true, "isDefaultGateway": true, "ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}`
	for name, c := range map[string]struct {
		plugins []string
		network string
		config  string
		reason  string
	}{
		"none may be named":             {nil, "theirs", config, "CNINetworkNotAllowed"},
		"one that is called may not":    {[]string{"bridge"}, "theirs", config, "CNINetworkNotAllowed"},
		"one of the list may not":       {[]string{"bridge", "host-local"}, "theirs", `{"cniVersion": "1.0.0", "plugins": [` + config + `, {"type": "tuning"}]}`, "CNINetworkNotAllowed"},
		"the name is the host's own's":  {[]string{"bridge", "host-local"}, "own", config, "CNINetworkNotAllowed"},
		"it names what is in no folder": {[]string{"bridge"}, "theirs", `{"type": "../bridge"}`, "CNIInvalid"},
		"it is half of one":             {[]string{"bridge"}, "theirs", `{"type": "bridge"`, "CNIInvalid"},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.options.DefinitionPlugins = c.plugins
			h.refused(h.manager(), h.defined("one", c.network, c.config), c.reason, patience)
		})
	}
	h.t = t
	h.options.DefinitionPlugins = []string{"host-local", "bridge", "no-such-plugin"}
	// Not one of the host's own networks has to be for VMs.
	h.options.Networks = nil
	m := h.manager()
	if got := strings.Join(m.OfferedPlugins(), " "); got != "bridge host-local" {
		t.Errorf("offered are %q", got)
	}
	ctx := context.Background()
	a := h.defined("one", "theirs", config)
	r, err := m.Attach(ctx, a)
	must(t, err)
	g := h.boot("one", r)
	g.dhcp()
	g.reaches(r.Gateway(false))
	must(t, m.Check(ctx, a.UID, a.Card))
	// A guest that is using it keeps it, by the configuration that it was made with.
	known, is, err := m.Known(a.UID, a.Card)
	if err != nil || !is || known.Config == nil {
		t.Fatalf("%+v, %t, %v", known, is, err)
	}
	same, err := m.Attach(ctx, known.Attachment)
	must(t, err)
	if same.IPv4() != r.IPv4() || same.Tap != r.Tap {
		t.Errorf("attached again: %+v, had %+v", same, r)
	}
	// One that is not the host's own any more is another card.
	h.network("theirs", `{"cniVersion": "1.0.0", "name": "theirs", "plugins": [`+strings.NewReplacer("10.9.0", "10.9.1", "br9", "br10").Replace(config)+`]}`)
	h.options.Networks = []string{"theirs"}
	other := h.manager()
	b := a
	b.Config = nil
	own, err := other.Attach(ctx, b)
	must(t, err)
	if !strings.HasPrefix(own.IPv4().String(), "10.9.1.") {
		t.Errorf("by the host's own configuration: %+v", own)
	}
	must(t, other.Sweep(ctx, func(types.UID, string) bool { return false }))
	if left := h.leased("theirs"); len(left) > 0 {
		t.Errorf("addresses were not given back: %v", left)
	}
}
