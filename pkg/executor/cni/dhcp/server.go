package dhcp

import (
	"fmt"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// Server answers on one interface until it is closed.
type Server struct {
	in   net.PacketConn
	done chan struct{}
}

// Serve answers on the interface of the network namespace at space. report is told
// of answers that could not be made or sent. The interface needs no address: frames
// are read and written as they are, and only those of IPv4 that traffic control
// leaves to the namespace reach the server.
func Serve(space, link string, lease Lease, report func(error)) (*Server, error) {
	var frames *packet.Conn
	if err := netspace.Do(space, func() error {
		at, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		frames, err = packet.Listen(at, packet.Datagram, unix.ETH_P_IP, nil)
		return err
	}); err != nil {
		return nil, fmt.Errorf("listening for DHCP on %s: %w", link, err)
	}
	// Questions come to any address, answers are from the server's.
	in := nclient4.NewBroadcastUDPConn(frames, &net.UDPAddr{Port: dhcpv4.ServerPort})
	out := nclient4.NewBroadcastUDPConn(frames, &net.UDPAddr{IP: lease.server(), Port: dhcpv4.ServerPort})
	answer := func(_ net.PacketConn, _ net.Addr, m *dhcpv4.DHCPv4) {
		reply, err := Reply(lease, m)
		if err == nil && reply != nil {
			// To all: the guest is alone on its interface, and may have no address.
			_, err = out.WriteTo(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
		if err != nil {
			report(err)
		}
	}
	server, err := server4.NewServer("", nil, answer, server4.WithConn(in))
	if err != nil {
		_ = in.Close()
		return nil, fmt.Errorf("serving DHCP on %s: %w", link, err)
	}
	s := &Server{in: in, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = server.Serve() // ends when its socket is closed, or its interface is gone
	}()
	return s, nil
}

// Done is closed when nobody answers any more.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends it.
func (s *Server) Close() {
	_ = s.in.Close()
	<-s.done
}
