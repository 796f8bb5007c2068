package libvirt

import (
	"context"
	"errors"
	"time"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// AgentChannel is the name of the channel on which QEMU's guest agent is spoken
// to.
const AgentChannel = "org.qemu.guest_agent.0"

const (
	// agentAnswer is how long an agent has for each answer; libvirt on its own
	// would wait for ever.
	agentAnswer = 5 * time.Second
	// maxConversations of the 5 calls that libvirtd serves of a client at a time
	// leave one to look at domains with.
	maxConversations = 4
	// agentPoll is how often a conversation that waits for another looks whether
	// that is over.
	agentPoll = 50 * time.Millisecond
)

// GuestInfo is what a guest's agent says of the guest. Nothing of it has been
// checked.
type GuestInfo struct {
	Hostname string
	OS       GuestOS
	// Interfaces are in the guest's order, the loopback among them.
	Interfaces []GuestInterface
}

// GuestOS is a guest's operating system by its own words: os-release's ID,
// PRETTY_NAME and VERSION_ID, and uname's release.
type GuestOS struct{ ID, Name, Version, Kernel string }

// GuestInterface is a network interface as the guest has it.
type GuestInterface struct {
	Name, MAC string
	// Addresses are IP addresses without prefix lengths.
	Addresses []string
}

// agentState reads what libvirt knows of the agent's channel; it knows it of
// running guests only.
func agentState(d *libvirtxml.Domain) AgentState {
	if d.Devices == nil {
		return AgentNone
	}
	for i := range d.Devices.Channels {
		t := d.Devices.Channels[i].Target
		if t == nil || t.VirtIO == nil || t.VirtIO.Name != AgentChannel {
			continue
		}
		switch t.VirtIO.State {
		case "connected":
			return AgentOpen
		case "disconnected":
			return AgentClosed
		}
	}
	return AgentNone
}

// connectAgents connects for conversations with agents. libvirtd serves a few
// calls of a client at a time: agents that hang take none of those with which
// guests are started and stopped.
func connectAgents(uri string) *connection {
	c := &connection{uri: uri, busy: &busy{}, slots: slots{asking: make(chan struct{}, maxConversations)}}
	c.begin()
	return c
}

// converse runs fn with a domain whose agent it asks something. There is one
// conversation with an agent at a time; others wait, as long as ctx allows. fn
// begins with patience: what an earlier one has set is still there.
func (c *connection) converse(ctx context.Context, uuid, doing string, fn func(*lv.Domain) error) error {
	if c.agents == nil {
		return &Error{Doing: doing, Message: "guests have no agents here", kind: ErrUnsupported}
	}
	c = c.agents
	for {
		err := c.busy.begin(asking, uuid, doing)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(agentPoll):
		}
	}
	s, err := c.acquire(doing)
	if err != nil {
		c.busy.end(asking, uuid)
		return err
	}
	select {
	case c.slots.asking <- struct{}{}:
	case <-ctx.Done():
		c.busy.end(asking, uuid)
		s.release()
		return timedOut(ctx, doing)
	}
	_, err = run(ctx, s, doing, func(conn *lv.Connect) (struct{}, error) {
		defer func() {
			<-c.slots.asking
			c.busy.end(asking, uuid)
		}()
		d, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = d.Free() }()
		return struct{}{}, fn(d)
	})
	return err
}

// patience has libvirt wait so long, in whole seconds, for each answer of the
// domain's agent.
func patience(d *lv.Domain, answer time.Duration) error {
	return d.AgentSetResponseTimeout(int(answer/time.Second), 0)
}

// GuestInfo implements Host. Each kind of thing is asked for by itself: an agent
// that is old, or forbidden to tell one, tells the others.
func (c *connection) GuestInfo(ctx context.Context, uuid string) (GuestInfo, error) {
	// A conversation that is given up goes on for a while, in a value of its own.
	said := &GuestInfo{}
	doing := "asking the agent of domain " + uuid
	err := c.converse(ctx, uuid, doing, func(d *lv.Domain) error {
		if err := patience(d, agentAnswer); err != nil {
			return err
		}
		var first error
		told := false
		for _, kind := range []lv.DomainGuestInfoTypes{lv.DOMAIN_GUEST_INFO_HOSTNAME, lv.DOMAIN_GUEST_INFO_OS, lv.DOMAIN_GUEST_INFO_INTERFACES} {
			answer, err := d.GetGuestInfo(kind, 0)
			if err != nil {
				err = explain(doing, err)
				if ends(err) {
					return err
				}
				first = errors.Join(first, err)
				continue
			}
			told = true
			said.add(answer)
		}
		if !told {
			return first
		}
		return nil
	})
	if err != nil {
		return GuestInfo{}, err
	}
	return *said, nil
}

// ends says whether an error leaves nothing more to ask.
func ends(err error) bool {
	for _, kind := range []error{ErrAgentSilent, ErrUnavailable, ErrTimeout, ErrNotFound, ErrWrongState} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (g *GuestInfo) add(answer *lv.DomainGuestInfo) {
	if answer.HostnameSet {
		g.Hostname = answer.Hostname
	}
	if os := answer.OS; os != nil && (os.IDSet || os.PrettyNameSet || os.KernelReleaseSet) {
		g.OS = GuestOS{ID: os.ID, Name: os.PrettyName, Version: os.VersionID, Kernel: os.KernelRelease}
	}
	for _, in := range answer.Interfaces {
		out := GuestInterface{Name: in.Name, MAC: in.Hwaddr}
		for _, address := range in.Addrs {
			out.Addresses = append(out.Addresses, address.Addr)
		}
		g.Interfaces = append(g.Interfaces, out)
	}
}
