package cni

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// childVariable has this program do one job, as a vm-executor that can be killed.
const childVariable = "DOMUS_CNI_CHILD"

// job is what a child does.
type job struct {
	Options cni.Options
	Attach  *cni.Attachment
	Detach  *cni.Attachment
	Sweep   bool
}

func child() {
	var j job
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &j)
	if err == nil {
		err = j.do()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (j job) do() error {
	m, err := cni.New(j.Options, logr.Discard())
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch {
	case j.Attach != nil:
		_, err = m.Attach(ctx, *j.Attach)
	case j.Detach != nil:
		err = m.Detach(ctx, j.Detach.UID, j.Detach.Card)
	case j.Sweep:
		err = m.Sweep(ctx, func(types.UID, string) bool { return false })
	}
	return err
}

// start runs a job in a child.
func (h *host) start(j job) *exec.Cmd {
	h.t.Helper()
	j.Options = h.options
	data, err := json.Marshal(j)
	must(h.t, err)
	self, err := os.Executable()
	must(h.t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+string(data))
	cmd.Stderr = os.Stderr
	must(h.t, cmd.Start())
	return cmd
}

// reboot takes away what does not outlive one: plugins that are at work, namespaces,
// interfaces and rules.
func (h *host) reboot() {
	h.t.Helper()
	for mine := running(h.t, "CNI_NETNS="+h.dir); len(mine) > 0; mine = running(h.t, "CNI_NETNS="+h.dir) {
		for _, pid := range mine {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
	spaces, err := netspace.List(h.options.SpaceDir)
	must(h.t, err)
	for _, name := range spaces {
		must(h.t, netspace.Remove(filepath.Join(h.options.SpaceDir, name)))
	}
	must(h.t, netspace.Do(h.space, func() error {
		links, err := netspace.Whole(netlink.LinkList)
		if err != nil {
			return err
		}
		for _, l := range links {
			// A veth goes with its other half, which may have been first.
			if l.Type() == "veth" || l.Type() == "tuntap" {
				_ = netlink.LinkDel(l)
			}
		}
		for _, what := range []string{"-F", "-X"} {
			if out, err := exec.Command("iptables", "-t", "nat", what).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w", out, err)
			}
		}
		return nil
	}))
}

// leased are the addresses that host-local has given out of a network.
func (h *host) leased(network string) []string {
	h.t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.dir, "ipam", network))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "10.") {
			all = append(all, e.Name())
		}
	}
	return all
}

// Whatever is killed, and whenever, nothing is left when the VMs are gone.
func TestNothingIsLeftAfterKills(t *testing.T) {
	const rounds = 50
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	h := newHost(t)
	h.network("net7", `{"cniVersion": "1.0.0", "name": "net7", "plugins": [{
		"type": "bridge", "bridge": "br7", "isGateway": true, "ipMasq": true,
		"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.7.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`)
	m := h.manager()
	ctx := context.Background()
	const starting = 30 * time.Millisecond // the child's program
	var attaching, detaching time.Duration
	first := vm("first", "net0", "net7")
	for range 2 { // the first makes the bridge
		start := time.Now()
		_, err := m.Attach(ctx, first)
		must(t, err)
		attaching = time.Since(start)
		start = time.Now()
		must(t, m.Detach(ctx, first.UID, first.Card))
		detaching = time.Since(start)
	}
	before := h.state()

	kills, whole, reboots := 0, 0, 0
	// try runs a job and kills it somewhere on its way, or a little after it.
	try := func(j job, takes time.Duration) {
		cmd := h.start(j)
		after := time.Duration(random.Int64N(int64(starting + takes)))
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
			whole++
		case <-time.After(after):
			_ = cmd.Process.Kill()
			<-done
			kills++
		}
	}
	var living []cni.Attachment
	for round := range rounds {
		a := vm(fmt.Sprintf("vm%d", round), []string{"net0", "a-card-with-a-long-name"}[random.IntN(2)], "net7")
		living = append(living, a)
		try(job{Attach: &a}, attaching)
		switch random.IntN(4) {
		case 0:
			try(job{Attach: &a}, attaching)
		case 1:
			h.reboot()
			reboots++
		}
		// One that is wanted is to be had, whatever happened to it.
		if random.IntN(3) == 0 {
			b := living[random.IntN(len(living))]
			r, err := m.Attach(ctx, b)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if !slices.Contains(h.leased("net7"), r.IPv4().Addr().String()) {
				t.Fatalf("round %d: %s has %s, which host-local has not given out: %v", round, b.Name, r.IPv4(), h.leased("net7"))
			}
			must(t, m.Check(ctx, b.UID, b.Card))
		}
		if random.IntN(2) == 0 {
			b := living[random.IntN(len(living))]
			try(job{Detach: &b}, detaching)
		}
		if random.IntN(10) == 0 {
			try(job{Sweep: true}, detaching)
		}
	}
	t.Logf("%d jobs were killed, %d came to their end, the host was rebooted %d times", kills, whole, reboots)
	if kills < rounds/4 {
		t.Errorf("only %d jobs were killed: the test tries little", kills)
	}
	start := time.Now()
	must(t, m.Sweep(ctx, func(types.UID, string) bool { return false }))
	t.Logf("swept in %s", time.Since(start).Round(time.Millisecond))
	if after := h.state(); after != before {
		t.Errorf("something was left. Before:\n%s\nafter:\n%s", before, after)
	}
	if left := h.leased("net7"); len(left) > 0 {
		t.Errorf("addresses were not given back: %v", left)
	}
}

// After a reboot a VM gets another card, and the address of the old one is free.
func TestReboot(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	kept, gone := vm("kept", "net0", "net7"), vm("gone", "net0", "net7")
	for _, a := range []cni.Attachment{kept, gone} {
		_, err := m.Attach(ctx, a)
		must(t, err)
	}
	h.reboot()
	if err := m.Check(ctx, kept.UID, kept.Card); cni.Reason(err) != "CNICardGone" {
		t.Errorf("CHECK of a card that is gone: %v", err)
	}
	must(t, m.Resume(ctx)) // neither makes cards nor stumbles over their absence
	must(t, m.Sweep(ctx, func(uid types.UID, _ string) bool { return uid == kept.UID }))
	r, err := m.Attach(ctx, kept)
	must(t, err)
	if got, want := h.leased("net7"), []string{r.IPv4().Addr().String()}; !slices.Equal(got, want) {
		t.Errorf("given out is %v, want %v", got, want)
	}
	must(t, m.Check(ctx, kept.UID, kept.Card))
}

// A vm-executor that starts anew answers the guests it finds, and their packets went
// on without it.
func TestRestart(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	ctx := context.Background()
	m := h.manager()
	a := vm("one", "net0", "net7")
	r, err := m.Attach(ctx, a)
	must(t, err)
	g := h.boot("one", r)
	g.dhcp()
	router := r.Gateway(false)
	m.Close()
	g.reaches(router)
	c := g.client()
	short, cancel := context.WithTimeout(ctx, time.Second)
	if _, err := c.Request(short); err == nil {
		t.Error("somebody answers though nobody is there to")
	}
	cancel()
	again := h.manager()
	must(t, again.Resume(ctx))
	// By the address that it has (RENEWING).
	long, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.Renew(long, g.lease); err != nil {
		t.Errorf("the lease was not renewed: %v", err)
	}
	_ = c.Close()
	// And from the beginning, as after the guest was reset.
	if got := g.dhcp().YourIPAddr.String(); got != r.IPv4().Addr().String() {
		t.Errorf("the guest got %s, not %s", got, r.IPv4())
	}
	same, err := again.Attach(ctx, a)
	must(t, err)
	if same.IPv4() != r.IPv4() || same.Tap != r.Tap {
		t.Errorf("attached again: %+v, had %+v", same, r)
	}
}

// redirected is how many packets an interface has led on.
func (h *host) redirected(space, name string) (packets uint32) {
	h.t.Helper()
	must(h.t, netspace.Do(space, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		filters, err := netspace.Whole(func() ([]netlink.Filter, error) {
			return netlink.FilterList(link, netlink.MakeHandle(0xffff, 0))
		})
		for _, f := range filters {
			if u, is := f.(*netlink.U32); is {
				for _, a := range u.Actions {
					packets += a.Attrs().Statistics.Basic.Packets
				}
			}
		}
		return err
	}))
	return packets
}

// What is right is left as it is: a guest is using it. Filters that were replaced
// would count anew.
func TestAttachedAgainIsLeftAsItIs(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	a := vm("one", "net0", "net7")
	r, err := m.Attach(ctx, a)
	must(t, err)
	g := h.boot("one", r)
	g.dhcp()
	g.reaches(r.Gateway(false))
	// To the network, and from it.
	ends := map[string]string{r.Tap: h.space, r.Interface: r.Space}
	before := map[string]uint32{}
	for name, space := range ends {
		if before[name] = h.redirected(space, name); before[name] == 0 {
			t.Fatalf("nothing was counted on %s", name)
		}
	}
	for range 3 {
		_, err := m.Attach(ctx, a)
		must(t, err)
		must(t, m.Resume(ctx))
	}
	for name, space := range ends {
		if after := h.redirected(space, name); after < before[name] {
			t.Errorf("%s had led on %d packets, and now %d: its filters were replaced", name, before[name], after)
		}
	}
	// What somebody took away is put back.
	must(t, netspace.Do(h.space, func() error {
		return exec.Command("tc", "qdisc", "del", "dev", r.Tap, "ingress").Run()
	}))
	if ping(t, g.space, r.Gateway(false), time.Second) {
		t.Fatal("frames are led on without filters: the test tries nothing")
	}
	must(t, m.Resume(ctx))
	g.reaches(r.Gateway(false))
}
