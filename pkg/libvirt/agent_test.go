package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

func TestTheStateOfTheAgentsChannelIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		devices string
		want    AgentState
	}{
		"no devices":              {``, AgentNone},
		"another channel is open": {`<channel type='unix'><target type='virtio' name='other.0' state='connected'/></channel>`, AgentNone},
		"a guest that is off":     {`<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`, AgentNone},
		"closed":                  {`<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/></channel>`, AgentClosed},
		"open, behind another":    {`<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>`, AgentOpen},
	} {
		t.Run(name, func(t *testing.T) {
			var d libvirtxml.Domain
			if err := d.Unmarshal("<domain><devices>" + c.devices + "</devices></domain>"); err != nil {
				t.Fatal(err)
			}
			if got := agentState(&d); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnswersOfAnAgentArePutTogether(t *testing.T) {
	var got GuestInfo
	for _, answer := range []lv.DomainGuestInfo{
		{HostnameSet: true, Hostname: "web-1", OS: &lv.DomainGuestInfoOS{}},
		{OS: &lv.DomainGuestInfoOS{
			IDSet: true, ID: "debian", NameSet: true, Name: "Debian", PrettyNameSet: true, PrettyName: "Debian 12",
			VersionIDSet: true, VersionID: "12", KernelReleaseSet: true, KernelRelease: "6.1.0",
		}},
		{OS: &lv.DomainGuestInfoOS{}, Interfaces: []lv.DomainGuestInfoInterface{
			{Name: "lo"}, {Name: "eth0", Hwaddr: "52:54:00:12:34:56", Addrs: []lv.DomainGuestInfoIPAddress{{Addr: "10.0.2.15", Prefix: 24}, {Addr: "fe80::1"}}},
		}},
	} {
		got.add(&answer)
	}
	want := GuestInfo{
		Hostname: "web-1", OS: GuestOS{ID: "debian", Name: "Debian 12", Version: "12", Kernel: "6.1.0"},
		Interfaces: []GuestInterface{{Name: "lo"}, {Name: "eth0", MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15", "fe80::1"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfGuestsSayWhatIsDone(t *testing.T) {
	for name, c := range map[string]struct{ got, want Event }{
		"a watchdog":              {watchdog(&lv.DomainEventWatchdog{Action: lv.DOMAIN_EVENT_WATCHDOG_RESET}), Event{Kind: EventWatchdog, Action: "Reset"}},
		"one that does something": {watchdog(&lv.DomainEventWatchdog{Action: 99}), Event{Kind: EventWatchdog, Action: "Unknown"}},
		"a full disk, without its path": {
			diskError(&lv.DomainEventIOErrorReason{SrcPath: "/var/lib/x.qcow2", DevAlias: "virtio-disk0", Action: lv.DOMAIN_EVENT_IO_ERROR_PAUSE, Reason: "enospc"}),
			Event{Kind: EventDiskError, Action: "Pause", Device: "virtio-disk0", Reason: "enospc"},
		},
		"a panic": {
			lifecycle(&lv.DomainEventLifecycle{Event: lv.DOMAIN_EVENT_CRASHED, Detail: int(lv.DOMAIN_EVENT_CRASHED_PANICKED)}),
			Event{Kind: EventCrashed, Reason: "its kernel panicked"},
		},
		"an end": {
			lifecycle(&lv.DomainEventLifecycle{Event: lv.DOMAIN_EVENT_STOPPED, Detail: int(lv.DOMAIN_EVENT_STOPPED_SHUTDOWN)}),
			Event{Kind: EventStopped, Reason: ReasonShutDown},
		},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// testDomain is the UUID of the domain that test:///default begins with.
const testDomain = "6695eb01-f6a4-8304-79aa-97f2502e193f"

// talking is libvirt's test driver with a connection for agents. It has none: what
// a conversation does here is not asked of a guest.
func talking(t *testing.T) (*connection, context.Context) {
	t.Helper()
	c := connect("test:///default")
	c.agents = connectAgents("test:///default")
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	for _, part := range []*connection{c, c.agents} {
		for {
			s, err := part.acquire("connecting")
			if err == nil {
				s.release()
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return c, ctx
}

func TestAgentsThatHangHoldUpNoChangeOfTheirGuests(t *testing.T) {
	c, ctx := talking(t)
	unstick := make(chan struct{})
	defer close(unstick)
	for range maxConversations + maxChanges {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := c.converse(short, testDomain, "asking", func(*lv.Domain) error { <-unstick; return nil })
		cancel()
		if !errors.Is(err, ErrTimeout) {
			t.Fatalf("asking: %v", err)
		}
	}
	for what, err := range map[string]error{
		"shutdown": c.Shutdown(ctx, testDomain), "start": c.Start(ctx, testDomain), "destroy": c.Destroy(ctx, testDomain),
	} {
		if err != nil {
			t.Errorf("%s beside agents that hang: %v", what, err)
		}
	}
}

func TestThereIsOneConversationWithAnAgentAtATime(t *testing.T) {
	c, ctx := talking(t)
	first, finish := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- c.converse(ctx, testDomain, "asking first", func(*lv.Domain) error { close(first); <-finish; return nil })
	}()
	<-first
	over := false
	second := make(chan error, 1)
	go func() {
		second <- c.converse(ctx, testDomain, "asking second", func(*lv.Domain) error {
			if !over {
				return errors.New("the first is not over")
			}
			return nil
		})
	}()
	time.Sleep(2 * agentPoll)
	over = true
	close(finish)
	if err := errors.Join(<-ended, <-second); err != nil {
		t.Error(err)
	}
}

func TestWhereThereAreNoAgentsNoneIsAsked(t *testing.T) {
	c := connect("test:///default")
	defer c.Close()
	if _, err := c.GuestInfo(context.Background(), testDomain); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestADriverWithoutAgentsSaysSo(t *testing.T) {
	c, ctx := talking(t)
	if _, err := c.GuestInfo(ctx, testDomain); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
