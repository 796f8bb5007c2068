package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// maxMessage is how much of a failure is told, in bytes. Some of it is the guest's.
const maxMessage = 256

// maxHeaders bounds, in bytes, the head of what a guest answers.
const maxHeaders = 64 << 10

// Prober makes probes from the host.
type Prober struct {
	// Space is the path of the network namespace that guests are reached from; empty
	// for the process' own.
	Space string
	// own lists the host's own addresses in it.
	own func() ([]net.Addr, error)
}

// Probe makes one probe and returns why it failed, in one line; empty when it
// succeeded. It takes no longer than the timeout.
func (p Prober) Probe(ctx context.Context, t Target, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var err error
	if t.Probe.HTTPGet != nil {
		err = p.get(ctx, t, timeout)
	} else {
		var c net.Conn
		if c, err = p.dial(ctx, t); err == nil {
			err = c.Close()
		}
	}
	if err == nil {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return fmt.Sprintf("no answer from %s within %s", netip.AddrPortFrom(t.Address, t.Port), timeout)
	}
	return oneLine(err.Error())
}

func isTimeout(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout()
}

// dial connects to the guest, and to nobody else: by an address that is resolved by
// nobody, not the host's own, and where it has a device by that alone.
func (p Prober) dial(ctx context.Context, t Target) (conn net.Conn, err error) {
	to := netip.AddrPortFrom(t.Address, t.Port)
	err = netspace.Do(p.Space, func() error {
		if err := p.foreign(t.Address); err != nil {
			return err
		}
		d := probe.ProbeDialer() // which leaves no sockets behind for a minute
		if t.Device != "" {
			linger := d.Control
			d.Control = func(network, address string, c syscall.RawConn) error {
				if err := linger(network, address, c); err != nil {
					return err
				}
				var bound error
				if err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), t.Device) }); err != nil {
					return err
				}
				if bound != nil {
					return fmt.Errorf("the host has no device %s: %w", t.Device, bound)
				}
				return nil
			}
		}
		c, err := d.DialContext(ctx, "tcp", to.String())
		conn = c
		return err
	})
	return conn, err
}

// foreign refuses the host's own addresses, which a guest may claim.
func (p Prober) foreign(ip netip.Addr) error {
	if !ip.IsGlobalUnicast() {
		return fmt.Errorf("%s is no address of a guest", ip)
	}
	own := p.own
	if own == nil {
		own = net.InterfaceAddrs
	}
	all, err := own()
	if err != nil {
		return fmt.Errorf("listing the host's addresses: %w", err)
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip {
			return fmt.Errorf("%s is an address of the host itself", ip)
		}
	}
	return nil
}

// get asks for the page. A redirection is an answer, wherever it leads.
func (p Prober) get(ctx context.Context, t Target, timeout time.Duration) error {
	what := t.Probe.HTTPGet
	to, err := url.ParseRequestURI(what.Path)
	if err != nil || what.Path == "" {
		to = &url.URL{Path: "/"}
	}
	to.Scheme, to.Host = "http", netip.AddrPortFrom(t.Address, t.Port).String()
	if what.Scheme == corev1.URISchemeHTTPS {
		to.Scheme = "https"
	}
	header := http.Header{"User-Agent": {"domus-probe"}}
	for _, h := range what.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "User-Agent" {
			header.Del("User-Agent")
		}
	}
	for _, h := range what.HTTPHeaders {
		header.Add(h.Name, h.Value)
	}
	request, err := httpprobe.NewProbeRequest(to, header)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		// Whatever the URL says: there is one place to go to.
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, t) },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as a kubelet: guests' certificates are their own
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaders,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	result, message, err := httpprobe.DoHTTPProbe(request.WithContext(ctx), client)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		return fmt.Errorf("reading the answer: %w", err)
	case result == probe.Success || result == probe.Warning: // a redirection
		return nil
	case ctx.Err() != nil || strings.Contains(message, "Client.Timeout"):
		return context.DeadlineExceeded
	}
	return errors.New(message)
}

// oneLine is the text without what a terminal would act on, cut to maxMessage.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
}
