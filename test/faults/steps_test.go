package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// An executor is killed at an exact step by a libvirtd that kills it: a proxy
// in front of the real one, which reads the calls that pass.

// procedure is a number of libvirt's remote protocol: src/remote/remote_protocol.x.
type procedure uint32

const (
	remoteProgram = 0x20008086

	procCreate      procedure = 9
	procDestroy     procedure = 12
	procResume      procedure = 28
	procSuspend     procedure = 34
	procSave        procedure = 182
	procDiscard     procedure = 184
	procUndefine    procedure = 231 // with flags
	procReset       procedure = 245
	procShutdown    procedure = 258 // with flags
	procDefine      procedure = 350 // with flags
	procSetPassword procedure = 357
)

// Kinds of packets: src/rpc/virnetprotocol.x.
const (
	packetCall  = 0
	packetReply = 1
)

// The faults. Before a call, libvirt has not heard of the step; after it, the
// executor has not heard that it is done.
var (
	killedBeforeDefine   = killedAt("before it defines a domain", procDefine, packetCall)
	killedAfterDefine    = killedAt("after it defined a domain", procDefine, packetReply)
	killedBeforeStart    = killedAt("before it starts a domain", procCreate, packetCall)
	killedAfterStart     = killedAt("after it started a domain", procCreate, packetReply)
	killedBeforeShutdown = killedAt("before it asks a guest to shut down", procShutdown, packetCall)
	killedAfterShutdown  = killedAt("after it asked a guest to shut down", procShutdown, packetReply)
	killedBeforeUndefine = killedAt("before it undefines a domain", procUndefine, packetCall)
	killedAfterUndefine  = killedAt("after it undefined a domain", procUndefine, packetReply)
	killedBeforePause    = killedAt("before it pauses a guest", procSuspend, packetCall)
	killedAfterPause     = killedAt("after it paused a guest", procSuspend, packetReply)
	killedBeforeSave     = killedAt("before it saves a guest", procSave, packetCall)
	killedAfterSave      = killedAt("after it saved a guest", procSave, packetReply)
	killedBeforeReset    = killedAt("before it resets a guest", procReset, packetCall)
	killedAfterReset     = killedAt("after it reset a guest", procReset, packetReply)
	killedBeforeDestroy  = killedAt("before it switches a guest off", procDestroy, packetCall)
	killedAfterDestroy   = killedAt("after it switched a guest off", procDestroy, packetReply)
	killedBeforeResume   = killedAt("before it resumes a guest", procResume, packetCall)
	killedAfterResume    = killedAt("after it resumed a guest", procResume, packetReply)
	killedBeforeDiscard  = killedAt("before it throws saved memory away", procDiscard, packetCall)
	killedAfterDiscard   = killedAt("after it threw saved memory away", procDiscard, packetReply)
	killedBeforePassword = killedAt("before it sets a password", procSetPassword, packetCall)
	killedAfterPassword  = killedAt("after it set a password", procSetPassword, packetReply)
)

// killedAt is the death of the executor when it calls, or is answered, for the
// first time.
func killedAt(when string, at procedure, packet uint32) *fault {
	var p *proxy
	return &fault{
		name: "vm-executor killed " + when, alone: true,
		prepare: func(t *testing.T) {
			p = stepInFront(t, at, packet)
			// It connects anew, through the proxy.
			kill(t, executor)
			up(t)
			p.arm(t, pid(t, executor))
		},
		strike: func(t *testing.T, _ []*subject) {
			within(t, settleTime, "vm-executor comes to the step", func() string {
				select {
				case err := <-p.killed:
					must(t, err)
					return ""
				default:
					return fmt.Sprintf("it does not; it has called %v", p.called())
				}
			})
			p.stepAside(t)
		},
	}
}

// proxy stands between the executor and libvirtd.
type proxy struct {
	at     procedure
	packet uint32
	killed chan error

	listener net.Listener
	mu       sync.Mutex
	victim   int
	aside    bool
	calls    map[procedure]int
	conns    []net.Conn
}

// hidden is where the real socket is meanwhile.
func hidden() string { return env.LibvirtSocket() + "-hidden" }

func stepInFront(t *testing.T, at procedure, packet uint32) *proxy {
	t.Helper()
	must(t, os.Rename(env.LibvirtSocket(), hidden()))
	listener, err := net.Listen("unix", env.LibvirtSocket())
	must(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	p := &proxy{at: at, packet: packet, killed: make(chan error, 1), listener: listener, calls: map[procedure]int{}}
	t.Cleanup(func() { p.stepAside(t) })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// stepAside puts the real socket back.
func (p *proxy) stepAside(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aside {
		return
	}
	p.aside = true
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	must(t, os.Rename(hidden(), env.LibvirtSocket()))
}

// arm has the process killed at the step.
func (p *proxy) arm(t *testing.T, pid int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.victim = pid
}

func (p *proxy) called() map[procedure]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[procedure]int{}
	for k, v := range p.calls {
		out[k] = v
	}
	return out
}

// serve passes packets on in both directions until one kills.
func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", hidden())
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	end := func() { _, _ = client.Close(), server.Close() }
	go func() { defer end(); _ = p.pass(server, client) }()
	defer end()
	_ = p.pass(client, server)
}

// pass copies packets: a length of 4 bytes, itself included, then program,
// version, procedure and kind, 4 bytes each, and the rest.
func (p *proxy) pass(to io.Writer, from io.Reader) error {
	for {
		var length uint32
		if err := binary.Read(from, binary.BigEndian, &length); err != nil {
			return err
		}
		if length < 28 || length > 64<<20 {
			return fmt.Errorf("a packet of %d bytes", length)
		}
		packet := make([]byte, length)
		binary.BigEndian.PutUint32(packet, length)
		if _, err := io.ReadFull(from, packet[4:]); err != nil {
			return err
		}
		field := func(i int) uint32 { return binary.BigEndian.Uint32(packet[4*i:]) }
		if p.kills(field(1), procedure(field(3)), field(4)) {
			return errors.New("killed")
		}
		if _, err := to.Write(packet); err != nil {
			return err
		}
	}
}

// kills says whether a packet was the one, which goes no further then.
func (p *proxy) kills(program uint32, call procedure, packet uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program != remoteProgram {
		return false
	}
	if packet == packetCall {
		p.calls[call]++
	}
	if p.victim == 0 || call != p.at || packet != p.packet {
		return false
	}
	p.killed <- syscall.Kill(p.victim, syscall.SIGKILL)
	p.victim = 0
	return true
}
