package service

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// systemd is the end of the socket to which a service tells how it is.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", at)
	said := make(chan string, 1000)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			said <- string(buffer[:n])
		}
	}()
	return said
}

func next(t *testing.T, said <-chan string) string {
	t.Helper()
	select {
	case s := <-said:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("systemd was told nothing")
		return ""
	}
}

type watched struct {
	pending atomic.Value
	hangs   chan struct{}
}

func (w *watched) Pending() string { return w.pending.Load().(string) }
func (w *watched) Alive()          { <-w.hangs }

func TestSystemdIsTold(t *testing.T) {
	said := systemd(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	w := &watched{hangs: make(chan struct{})}
	w.pending.Store("libvirt has not been reached")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); Run(ctx, w) }()

	if got := next(t, said); got != "STATUS=libvirt has not been reached" {
		t.Fatalf("told %q", got)
	}
	w.pending.Store("")
	if got := next(t, said); got != "READY=1\nSTATUS=Looking after its guests" {
		t.Fatalf("told %q", got)
	}
	// A process that hangs does not say that it lives.
	select {
	case got := <-said:
		t.Fatalf("told %q while it hangs", got)
	case <-time.After(time.Second):
	}
	close(w.hangs)
	if got := next(t, said); got != "WATCHDOG=1" {
		t.Fatalf("told %q", got)
	}
	cancel()
	<-done
	var last []string
	for len(said) > 0 {
		last = append(last, <-said)
	}
	for deadline := time.Now().Add(5 * time.Second); !slices.Contains(last, "STOPPING=1"); {
		if time.Now().After(deadline) {
			t.Fatalf("told %q at the end", last)
		}
		last = append(last, next(t, said))
	}
}

func TestNothingIsToldWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	w := &watched{}
	w.pending.Store("")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Run(ctx, w)
}
