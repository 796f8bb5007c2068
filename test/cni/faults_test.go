package cni

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// plugin puts a program of the test's beside the real ones.
func (h *host) plugin(name, script string) {
	h.t.Helper()
	dir := filepath.Join(h.dir, "plugins")
	must(h.t, os.MkdirAll(dir, 0o755))
	script = strings.NewReplacer("$DIR", h.dir, "$PLUGINS", h.options.PluginDirs[len(h.options.PluginDirs)-1]).Replace(script)
	must(h.t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	if h.options.PluginDirs[0] != dir {
		h.options.PluginDirs = append([]string{dir}, h.options.PluginDirs...)
	}
}

// running are the processes that have a word in their environment.
func running(t *testing.T, word string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	var all []int
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), word) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			must(t, err)
			all = append(all, pid)
		}
	}
	return all
}

// refused tries to attach, and holds the reason, the time and what is left against
// what they are to be.
func (h *host) refused(m *cni.Manager, a cni.Attachment, reason string, within time.Duration) {
	h.t.Helper()
	before := h.state()
	start := time.Now()
	_, err := m.Attach(context.Background(), a)
	took := time.Since(start)
	h.t.Logf("after %s: %v", took.Round(time.Millisecond), err)
	if err == nil || cni.Reason(err) != reason {
		h.t.Errorf("reason is %q, want %q: %v", cni.Reason(err), reason, err)
	}
	if took > within {
		h.t.Errorf("it took %s", took)
	}
	if after := h.state(); after != before {
		h.t.Errorf("something was left. Before:\n%s\nafter:\n%s", before, after)
	}
}

func TestRefusals(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	h.network("calico", `{"cniVersion": "1.0.0", "name": "calico", "plugins": [{"type": "calico"}]}`)
	h.network("absent", `{"cniVersion": "1.0.0", "name": "absent", "plugins": [{"type": "no-such-plugin"}]}`)
	h.plugin("failing", `cat >/dev/null
case $CNI_COMMAND in
ADD) echo '{"cniVersion": "1.0.0", "code": 100, "msg": "the switch is away"}'; exit 1 ;;
esac`)
	h.network("failing", `{"cniVersion": "1.0.0", "name": "failing", "plugins": [{"type": "failing"}]}`)
	h.plugin("nothing", `cat >/dev/null
[ $CNI_COMMAND != ADD ] || echo '{"cniVersion": "1.0.0"}'`)
	h.network("nothing", `{"cniVersion": "1.0.0", "name": "nothing", "plugins": [{"type": "nothing"}]}`)
	m := h.manager()
	for _, c := range []struct {
		name, reason string
		change       func(*cni.Attachment)
	}{
		{"no such network", "CNINetworkNotFound", func(a *cni.Attachment) { a.Network = "other" }},
		{"a plugin for pods", "CNIPluginUnsupported", func(a *cni.Attachment) { a.Network = "calico" }},
		{"a plugin that fails", "CNIPluginFailed", func(a *cni.Attachment) { a.Network = "failing" }},
		{"a plugin that makes nothing", "CNIPluginFailed", func(a *cni.Attachment) { a.Network = "nothing" }},
		{"a network that leads out of its folder", "CNIInvalid", func(a *cni.Attachment) { a.Network = "../net7" }},
		{"a UID that leads out of its folder", "CNIInvalid", func(a *cni.Attachment) { a.UID = "../x" }},
		{"an argument for plugins in a name", "CNIInvalid", func(a *cni.Attachment) { a.Name = "x;IP=10.7.7.9" }},
		{"a group's address", "CNIInvalid", func(a *cni.Attachment) { a.MAC = "01:00:5e:00:00:01" }},
		{"no JSON", "CNIInvalid", func(a *cni.Attachment) { a.Config = []byte("{") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			a := vm("one", "net0", "net7")
			c.change(&a)
			h.refused(m, a, c.reason, patience)
		})
	}
	h.t = t
	// What is not installed cannot be undone either; nothing was made but the
	// namespace and the record, which keep until the plugin is there again.
	_, err := m.Attach(context.Background(), vm("one", "net0", "absent"))
	if cni.Reason(err) != "CNIPluginMissing" {
		t.Errorf("a plugin that is not installed: %v", err)
	}
	h.plugin("no-such-plugin", "cat >/dev/null")
	h.options.Networks = []string{"net7"}
	narrow := h.manager()
	must(t, narrow.Sweep(context.Background(), func(types.UID, string) bool { return false }))
	h.refused(narrow, vm("one", "net0", "failing"), "CNINetworkNotAllowed", patience)
}

// A pool without an address says so, and gives the next VM what becomes free.
func TestExhausted(t *testing.T) {
	h := newHost(t)
	h.network("small", `{"cniVersion": "1.0.0", "name": "small", "plugins": [{
		"type": "bridge", "bridge": "br9", "isGateway": true,
		"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.9.0.0/29", "rangeStart": "10.9.0.2", "rangeEnd": "10.9.0.3"}]]}}]}`)
	m := h.manager()
	ctx := context.Background()
	one, two, three := vm("one", "net0", "small"), vm("two", "net0", "small"), vm("three", "net0", "small")
	for _, a := range []cni.Attachment{one, two} {
		_, err := m.Attach(ctx, a)
		must(t, err)
	}
	h.refused(m, three, "CNIAddressesExhausted", patience)
	must(t, m.Detach(ctx, one.UID, one.Card))
	_, err := m.Attach(ctx, three)
	must(t, err)
}

// A plugin that hangs is ended with all that it started, and its VM can have another
// card at once.
func TestHanging(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	h.options.Timeout = 2 * time.Second
	h.plugin("hanging", `cat >/dev/null
[ $CNI_COMMAND != ADD ] || { sleep 600 & sleep 600; }`)
	h.network("hanging", `{"cniVersion": "1.0.0", "name": "hanging", "plugins": [{"type": "hanging"}]}`)
	m := h.manager()
	a := vm("one", "net0", "hanging")
	h.refused(m, a, "CNIPluginTimeout", 30*time.Second)
	if left := running(t, "CNI_CONTAINERID="+string(a.UID)); len(left) > 0 {
		t.Errorf("processes of the plugin are still there: %v", left)
	}
	h.options.Timeout = patience
	a.Network = "net7"
	_, err := h.manager().Attach(context.Background(), a)
	must(t, err)
}

// A plugin that goes on after vm-executor was killed is waited for, and ended when it
// takes long: what it would still have made is not left.
func TestOrphan(t *testing.T) {
	for name, sleep := range map[string]string{"comes to its end": "2", "hangs": "600"} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.plugin("slow", `[ $CNI_COMMAND != ADD ] || { touch $DIR/adding; sleep `+sleep+`; }
exec $PLUGINS/bridge`)
			h.network("slow", `{"cniVersion": "1.0.0", "name": "slow", "plugins": [{"type": "slow", "bridge": "br7", "isGateway": true,
				"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.7.7.0/24"}]]}}]}`)
			a := vm("one", "net0", "slow")
			executor := h.start(job{Attach: &a})
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(h.dir, "adding")); err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatal("the plugin was not started")
				}
			}
			must(t, executor.Process.Kill())
			_ = executor.Wait()
			marked := "CNI_CONTAINERID=" + string(a.UID)
			if left := running(t, marked); len(left) == 0 {
				t.Fatal("the plugin ended with vm-executor: the test tries nothing")
			}
			m := h.manager()
			start := time.Now()
			must(t, m.Sweep(context.Background(), func(types.UID, string) bool { return false }))
			t.Logf("swept after %s", time.Since(start).Round(time.Millisecond))
			if left := running(t, marked); len(left) > 0 {
				t.Errorf("processes of the plugin are still there: %v", left)
			}
			if left := h.leased("slow"); len(left) > 0 {
				t.Errorf("the plugin that was left behind took %v", left)
			}
			if s := h.state(); strings.Contains(s, string(a.UID)) || strings.Contains(s, "veth") {
				t.Errorf("something was left: %s", s)
			}
		})
	}
}

// Plugins that know GC are told which attachments there are, for networks that are
// the VMs' alone.
func TestCollecting(t *testing.T) {
	h := newHost(t)
	h.plugin("collecting", `case $CNI_COMMAND in
GC) cat >$DIR/told ;;
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}' ;;
ADD) cat >/dev/null; nsenter --net="$CNI_NETNS" ip link add "$CNI_IFNAME" type bridge; echo '{"cniVersion": "1.1.0"}' ;;
*) cat >/dev/null ;;
esac`)
	for _, name := range []string{"own", "shared"} {
		h.network(name, `{"cniVersion": "1.1.0", "name": "`+name+`", "plugins": [{"type": "collecting"}]}`)
	}
	h.options.Exclusive = []string{"own"}
	m := h.manager()
	ctx := context.Background()
	a := vm("one", "a-card-with-a-long-name", "own")
	r, err := m.Attach(ctx, a)
	must(t, err)
	if len(r.Addresses) != 0 || len(r.Interface) > 15 {
		t.Errorf("attached: %+v", r)
	}
	must(t, m.Sweep(ctx, func(types.UID, string) bool { return true }))
	data, err := os.ReadFile(filepath.Join(h.dir, "told"))
	must(t, err)
	var told struct {
		Name  string `json:"name"`
		Valid []struct {
			ContainerID string `json:"containerID"`
			IfName      string `json:"ifname"`
		} `json:"cni.dev/valid-attachments"`
	}
	must(t, json.Unmarshal(data, &told))
	if told.Name != "own" || len(told.Valid) != 1 || told.Valid[0].ContainerID != string(a.UID) || told.Valid[0].IfName != r.Interface {
		t.Errorf("the plugin was told %s", data)
	}
}

// A network that another has an interface on by the name of ours is said, and the
// interface left alone.
func TestForeignInterface(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	a := vm("one", "net0", "net7")
	r, err := m.Attach(ctx, a)
	must(t, err)
	must(t, m.Detach(ctx, a.UID, a.Card))
	must(t, h.bridge(r.Tap))
	_, err = m.Attach(ctx, a)
	if err == nil || !strings.Contains(err.Error(), r.Tap) {
		t.Errorf("an interface of another's: %v", err)
	}
	if !strings.Contains(h.state(), "bridge "+r.Tap) || len(h.leased("net7")) != 0 {
		t.Errorf("left is %s", h.state())
	}
	if errors.Is(err, cni.ErrPlugin) {
		t.Errorf("the plugin is blamed: %v", err)
	}
}

// A VM's cards are in one namespace, and each goes by itself.
func TestTwoCards(t *testing.T) {
	h := newHost(t)
	h.bridged("net6", 6)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	a := vm("one", "net0", "net6")
	b := a
	b.Card, b.Network = "net1", "net7"
	first, err := m.Attach(ctx, a)
	must(t, err)
	second, err := m.Attach(ctx, b)
	must(t, err)
	if first.Space != second.Space || first.Tap == second.Tap {
		t.Errorf("cards: %+v, %+v", first, second)
	}
	must(t, m.Detach(ctx, a.UID, a.Card))
	must(t, m.Check(ctx, b.UID, b.Card))
	g := h.boot("one", second)
	g.dhcp()
	g.reaches(second.Gateway(false))
	must(t, m.Detach(ctx, b.UID, b.Card))
}

// On a network that gives out no addresses the guest asks the network's own server,
// and nobody else answers.
func TestNetworkThatAnswersItself(t *testing.T) {
	h := newHost(t)
	h.network("lan", `{"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "bridge", "bridge": "br5"}]}`)
	must(t, h.bridge("br5"))
	must(t, netspace.Do(h.space, func() error {
		bridge, err := netlink.LinkByName("br5")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr("10.5.0.1/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(bridge, a), netlink.LinkSetUp(bridge))
	}))
	server := exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=br5", "--bind-dynamic",
		"--dhcp-range=10.5.0.10,10.5.0.20", "--dhcp-leasefile="+filepath.Join(h.dir, "leases"), "--pid-file="+filepath.Join(h.dir, "pid"))
	must(t, netspace.Do(h.space, server.Start))
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	r, err := h.manager().Attach(context.Background(), vm("one", "net0", "lan"))
	must(t, err)
	if len(r.Addresses) > 0 {
		t.Errorf("attached: %+v", r)
	}
	g := h.boot("one", r)
	ack := g.dhcp()
	if !strings.HasPrefix(ack.YourIPAddr.String(), "10.5.0.") || ack.ServerIdentifier().String() != "10.5.0.1" {
		t.Errorf("the guest was told: %s", ack.Summary())
	}
	g.reaches(netip.MustParseAddr("10.5.0.1"))
}

// Many VMs come and go at once, each with an address of its own; the calls for one of
// them take turns.
func TestManyAtOnce(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	const vms = 20
	results := make([]cni.Result, vms)
	cards := make([]cni.Attachment, vms)
	each := func(f func(i int) error) {
		errs := make(chan error, 2*vms)
		for i := range vms {
			for range 2 { // the second finds the first at work, or done
				go func() { errs <- f(i) }()
			}
		}
		for range 2 * vms {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
	var mu sync.Mutex
	for i := range vms {
		cards[i] = vm("many", "net0", "net7")
	}
	start := time.Now()
	each(func(i int) error {
		r, err := m.Attach(ctx, cards[i])
		mu.Lock()
		defer mu.Unlock()
		if results[i].Tap != "" && results[i].IPv4() != r.IPv4() {
			t.Errorf("one VM has %s and %s", results[i].IPv4(), r.IPv4())
		}
		results[i] = r
		return err
	})
	t.Logf("%d VMs attached in %s", vms, time.Since(start).Round(time.Millisecond))
	seen := map[netip.Prefix]bool{}
	for _, r := range results {
		if seen[r.IPv4()] {
			t.Errorf("%s was given out twice", r.IPv4())
		}
		seen[r.IPv4()] = true
	}
	each(func(i int) error { return m.Detach(ctx, cards[i].UID, cards[i].Card) })
	if left := h.leased("net7"); len(left) > 0 {
		t.Errorf("addresses were not given back: %v", left)
	}
}
