package deploy

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// space is a network namespace with nothing but loopback: a pod's.
type space struct{ handle netns.NsHandle }

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{}
	err := apart(func() error {
		var err error
		if s.handle, err = netns.New(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal("making a network namespace:", err)
	}
	t.Cleanup(func() { _ = s.handle.Close() })
	return s
}

// apart runs f in a thread that is not used again.
func apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		done <- f()
	}()
	return <-done
}

func (s *space) in(f func() error) error {
	return apart(func() error {
		if err := netns.Set(s.handle); err != nil {
			return err
		}
		return f()
	})
}

// dial calls a port of the pod, as the kubelet and Services do.
func (s *space) dial(ctx context.Context, port int) (conn net.Conn, err error) {
	err = s.in(func() error {
		conn, err = (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	})
	return conn, err
}

// reach lets the pod reach address, which is the test's, at 127.0.0.1 and port.
func (s *space) reach(t *testing.T, port int, address string) {
	t.Helper()
	var listener net.Listener
	err := s.in(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	})
	if err != nil {
		t.Fatal("listening in a pod's network:", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go forward(listener, func() (net.Conn, error) { return net.Dial("tcp4", address) })
}

// forward connects who calls listener with what dial finds.
func forward(listener net.Listener, dial func() (net.Conn, error)) {
	for {
		caller, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer func() { _ = caller.Close() }()
			called, err := dial()
			if err != nil {
				return
			}
			defer func() { _ = called.Close() }()
			go func() {
				_, _ = io.Copy(called, caller)
				if c, ok := called.(*net.TCPConn); ok {
					_ = c.CloseWrite()
				}
			}()
			_, _ = io.Copy(caller, called)
		}()
	}
}
