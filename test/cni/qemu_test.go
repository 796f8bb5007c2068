package cni

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// machine is a real guest, with what its console says.
type machine struct {
	t       *testing.T
	console io.Writer
	mu      sync.Mutex
	said    strings.Builder
}

// run starts a guest on the tap of a card, in the host's namespace, as libvirt does:
// the tap is opened by its name and not made, with virtio's headers on it.
func (h *host) run(r cni.Result) *machine {
	h.t.Helper()
	image, err := filepath.Abs("../../bin/guest/agent.qcow2")
	must(h.t, err)
	if _, err := os.Stat(image); err != nil {
		h.t.Fatalf("there is no guest: run make guest: %v", err)
	}
	overlay := filepath.Join(h.t.TempDir(), "disk.qcow2")
	out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, overlay).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v", out, err)
	}
	cmd := exec.Command("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "160", "-display", "none", "-no-reboot",
		"-drive", "if=virtio,format=qcow2,file="+overlay, "-serial", "stdio", "-monitor", "none",
		"-netdev", "tap,id=n0,ifname="+r.Tap+",script=no,downscript=no",
		"-device", fmt.Sprintf("virtio-net-pci,netdev=n0,mac=%s,host_mtu=%d", r.MAC, r.MTU))
	in, err := cmd.StdinPipe()
	must(h.t, err)
	console, err := cmd.StdoutPipe()
	must(h.t, err)
	cmd.Stderr = os.Stderr
	m := &machine{t: h.t, console: in}
	must(h.t, netspace.Do(h.space, cmd.Start))
	done := make(chan struct{})
	go func() {
		defer close(done)
		reader := bufio.NewReader(console)
		for {
			line, err := reader.ReadString('\n')
			m.mu.Lock()
			m.said.WriteString(line)
			m.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("the guest's console:\n%s", m.said.String())
		}
	})
	return m
}

// says waits for a word on the console.
func (m *machine) says(word string, patience time.Duration) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		m.mu.Lock()
		found := strings.Contains(m.said.String(), word)
		m.mu.Unlock()
		if found {
			return true
		}
	}
	return false
}

// do types a line into the guest's shell.
func (m *machine) do(line string) {
	m.t.Helper()
	_, err := io.WriteString(m.console, line+"\n")
	must(m.t, err)
}

// booting is how long an emulated guest may take on a busy machine.
const booting = 5 * time.Minute

// A real guest gets its lease with a stock client, is reached from the host and from
// another guest, and moves data both ways through virtio's offloads. Then vm-executor
// goes, and nothing changes for it.
func TestRealGuest(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	ctx := context.Background()
	a := vm("real", "net0", "net7")
	a.MAC = "52:54:00:00:07:01"
	r, err := m.Attach(ctx, a)
	must(t, err)
	start := time.Now()
	real := h.run(r)
	address := r.IPv4().Addr()
	if !ping(t, h.space, address, booting) {
		t.Fatalf("the guest does not answer at %s", address)
	}
	t.Logf("it answers at %s after %s", address, time.Since(start).Round(time.Second))

	b := vm("other", "net0", "net7")
	s, err := m.Attach(ctx, b)
	must(t, err)
	other := h.boot("other", s)
	other.dhcp()
	other.reaches(address)

	m.Close()
	other.reaches(address)

	const size = 8 << 20
	router := r.Gateway(false)
	var listener net.Listener
	must(t, netspace.Do(h.space, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(router, 5000).String())
		return err
	}))
	defer func() { _ = listener.Close() }()
	from := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		n, _ := io.Copy(io.Discard, conn)
		from <- n
	}()
	start = time.Now()
	real.do(fmt.Sprintf("busybox head -c %d /dev/zero | busybox nc %s 5000", size, router))
	select {
	case n := <-from:
		t.Logf("from the guest: %d bytes in %s", n, time.Since(start).Round(time.Millisecond))
		if n != size {
			t.Errorf("%d bytes of %d came from the guest", n, size)
		}
	case <-time.After(booting):
		t.Fatal("nothing came from the guest")
	}
	real.do("busybox nc -l -p 6000 | busybox wc -c | busybox sed 's/^/RECEIVED-/'")
	var conn net.Conn
	for end := time.Now().Add(patience); conn == nil; time.Sleep(200 * time.Millisecond) {
		_ = netspace.Do(h.space, func() (err error) {
			conn, err = (&net.Dialer{Timeout: 2 * time.Second}).Dial("tcp", netip.AddrPortFrom(address, 6000).String())
			return err
		})
		if conn == nil && time.Now().After(end) {
			t.Fatal("the guest does not listen")
		}
	}
	start = time.Now()
	_, err = conn.Write(make([]byte, size))
	must(t, err)
	must(t, conn.Close())
	if !real.says(fmt.Sprintf("RECEIVED-%d", size), booting) {
		t.Error("the guest did not get all that was sent")
	}
	t.Logf("to the guest: %d bytes in %s", size, time.Since(start).Round(time.Millisecond))
}
