package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// maxPicture bounds what is read of a screenshot: a screen of 7680 by 4320 in
// three bytes a pixel, and some more.
const maxPicture = 100 << 20

// agentCommand is how long an agent has to do something.
const agentCommand = 15 * time.Second

// forOperations is the connection that operations are done over. libvirtd
// serves few calls of a client at a time: what a guest that hangs holds is then
// not taken from starting and ending others.
func (c *connection) forOperations() *connection {
	if c.operations != nil {
		return c.operations
	}
	return c
}

// operate runs fn on one domain as an operation.
func (c *connection) operate(ctx context.Context, uuid, doing string, fn func(*lv.Connect, *lv.Domain) error) error {
	return c.forOperations().change(ctx, operating, uuid, doing, func(d *lv.Domain) error {
		conn, err := d.DomainGetConnect()
		if err != nil {
			return err
		}
		defer func() { _, _ = conn.Close() }()
		return fn(conn, d)
	})
}

// Reset implements Host.
func (c *connection) Reset(ctx context.Context, uuid string) error {
	return c.operate(ctx, uuid, "resetting domain "+uuid, func(_ *lv.Connect, d *lv.Domain) error { return d.Reset(0) })
}

// SendKey implements Host.
func (c *connection) SendKey(ctx context.Context, uuid string, keys []string, hold time.Duration) error {
	doing := "pressing keys of domain " + uuid
	codes := make([]uint, len(keys))
	for i, key := range keys {
		code, known := keyCodes[key]
		if !known {
			return &Error{Doing: doing, Message: fmt.Sprintf("%v: %s", ErrUnknownKey, key), kind: ErrUnknownKey}
		}
		codes[i] = code
	}
	return c.operate(ctx, uuid, doing, func(_ *lv.Connect, d *lv.Domain) error {
		return d.SendKey(uint(lv.KEYCODE_SET_LINUX), uint(hold.Milliseconds()), codes, 0)
	})
}

// Screenshot implements Host.
func (c *connection) Screenshot(ctx context.Context, uuid string) (Picture, error) {
	doing := "taking a picture of domain " + uuid
	pictures := make(chan Picture, 1)
	err := c.operate(ctx, uuid, doing, func(conn *lv.Connect, d *lv.Domain) error {
		stream, err := conn.NewStream(0)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Free() }()
		mime, err := d.Screenshot(stream, 0, 0)
		if err != nil {
			return withoutScreen(doing, err, d)
		}
		data, err := receive(stream)
		if err != nil {
			_ = stream.Abort() // it failed already
			return err
		}
		pictures <- Picture{MIME: mime, Data: data}
		return stream.Finish()
	})
	if err != nil {
		return Picture{}, err
	}
	return <-pictures, nil
}

// described is what of a domain says whether it has a screen.
type described interface {
	IsActive() (bool, error)
	GetXMLDesc(flags lv.DomainXMLFlags) (string, error)
}

// withoutScreen is what err, of a picture of a domain, means. Libvirt says the
// same of a domain that does not run and, in words that may be translated, of one
// that runs without a video device.
func withoutScreen(doing string, err error, d described) error {
	var e lv.Error
	if !errors.As(err, &e) || e.Code != lv.ERR_OPERATION_INVALID {
		return err
	}
	if active, again := d.IsActive(); again != nil || !active {
		return err
	}
	doc, again := d.GetXMLDesc(0)
	if again != nil {
		return err
	}
	var x libvirtxml.Domain
	if x.Unmarshal(doc) != nil || x.Devices != nil && len(x.Devices.Videos) > 0 {
		return err
	}
	return &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: ErrNoScreen}
}

// receive reads a stream to its end.
func receive(stream *lv.Stream) ([]byte, error) {
	var out []byte
	buffer := make([]byte, 256<<10)
	for {
		n, err := stream.Recv(buffer)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(out)+n > maxPicture:
			return nil, fmt.Errorf("the picture has more than %d bytes", maxPicture)
		}
		out = append(out, buffer[:n]...)
	}
}

// SetPassword implements Host.
func (c *connection) SetPassword(ctx context.Context, uuid, user, hash string) error {
	return c.askAgent(ctx, uuid, "setting a password in domain "+uuid, func(d *lv.Domain) error {
		return d.SetUserPassword(user, hash, lv.DOMAIN_PASSWORD_ENCRYPTED)
	})
}

// AuthorizeKeys implements Host.
func (c *connection) AuthorizeKeys(ctx context.Context, uuid, user string, keys []string) error {
	return c.askAgent(ctx, uuid, "adding SSH keys in domain "+uuid, func(d *lv.Domain) error {
		return d.AuthorizedSSHKeysSet(user, keys, lv.DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND)
	})
}

// askAgent has the guest's agent do something.
func (c *connection) askAgent(ctx context.Context, uuid, doing string, fn func(*lv.Domain) error) error {
	return c.converse(ctx, uuid, doing, func(d *lv.Domain) error {
		err := patience(d, agentCommand)
		if err == nil {
			err = fn(d)
		}
		var e lv.Error
		if errors.As(err, &e) && agentErrors[e.Code] != nil {
			return &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: agentErrors[e.Code]}
		}
		return err
	})
}

// agentErrors are what libvirt says when a domain has no agent, or one that does
// not answer. One that has answered before is not asked first whether it is there,
// so that what was asked waits on the channel of a guest that hangs, and is done
// when that goes on.
var agentErrors = map[lv.ErrorNumber]error{
	lv.ERR_ARGUMENT_UNSUPPORTED:  ErrAgentUnavailable, // no channel for one
	lv.ERR_AGENT_UNRESPONSIVE:    ErrAgentUnanswered,
	lv.ERR_AGENT_UNSYNCED:        ErrAgentUnanswered,
	lv.ERR_AGENT_COMMAND_TIMEOUT: ErrAgentUnanswered,
}

// Counters implements Host.
func (c *connection) Counters(ctx context.Context, uuid string) (Counters, error) {
	doing := "measuring domain " + uuid
	counted := make(chan Counters, 1)
	err := c.operate(ctx, uuid, doing, func(conn *lv.Connect, d *lv.Domain) error {
		active, err := d.IsActive()
		if err != nil {
			return err
		}
		if !active {
			return &Error{Doing: doing, Message: "the domain does not run", kind: ErrWrongState}
		}
		info, err := d.GetInfo()
		if err != nil {
			return err
		}
		stats, err := conn.GetAllDomainStats([]*lv.Domain{d},
			lv.DOMAIN_STATS_BALLOON|lv.DOMAIN_STATS_INTERFACE|lv.DOMAIN_STATS_BLOCK, lv.CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
		if err != nil {
			return err
		}
		out := Counters{CPU: time.Duration(info.CpuTime)}
		for i := range stats {
			add(&out, &stats[i])
			_ = stats[i].Domain.Free()
		}
		counted <- out
		return nil
	})
	if err != nil {
		return Counters{}, err
	}
	return <-counted, nil
}

// add counts what libvirt knows of a domain; memory is in KiB there.
func add(to *Counters, s *lv.DomainStats) {
	if b := s.Balloon; b != nil {
		to.Resident = int64(b.Rss) << 10
		if b.AvailableSet && b.UnusedSet && b.Available >= b.Unused {
			used := int64(b.Available-b.Unused) << 10
			to.GuestUsed = &used
		}
	}
	for i := range s.Block {
		to.BlockRead += int64(s.Block[i].RdBytes)
		to.BlockWritten += int64(s.Block[i].WrBytes)
	}
	for i := range s.Net {
		// As the guest sees it, whose tap on the host has it the other way round.
		to.NetReceived += int64(s.Net[i].RxBytes)
		to.NetSent += int64(s.Net[i].TxBytes)
	}
}
