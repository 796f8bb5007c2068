package images

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	dialTimeout = 15 * time.Second
	// answerTimeout is how long a server may take to answer, and stallTimeout how
	// long it may send nothing.
	answerTimeout = 30 * time.Second
	stallTimeout  = 60 * time.Second
	maxRedirects  = 5
	maxHeader     = 64 << 10
	agentName     = "domus-vm-executor"
)

// Networks say from which addresses a host fetches images.
type Networks []netip.Prefix

// allow says whether the address may be asked. Without networks of the
// configuration all may but those by which a host reaches itself and what its own
// network trusts it with: loopback, link-local (where clouds have their metadata)
// and multicast.
func (n Networks) allow(at netip.Addr) bool {
	at = at.Unmap().WithZone("")
	if len(n) == 0 {
		return at.IsValid() && !at.IsLoopback() && !at.IsLinkLocalUnicast() && !at.IsMulticast() && !at.IsUnspecified()
	}
	for _, prefix := range n {
		if prefix.Contains(at) {
			return true
		}
	}
	return false
}

// forbiddenError says that the configuration does not allow an origin.
type forbiddenError struct{ why string }

func (e *forbiddenError) Error() string { return e.why }

// errChanged says that the server has other bytes by now than at first.
var errChanged = errors.New("the server has other bytes than before")

// brokenError says that a server broke off, and that whether it has the same bytes
// still nobody can tell. It is errChanged: what was read is not gone on with.
type brokenError struct{ at, total int64 }

func (e *brokenError) Error() string {
	of := ""
	if e.total >= 0 {
		of = " of " + strconv.FormatInt(e.total, 10)
	}
	return fmt.Sprintf("the server broke off after %d bytes%s, and it cannot be gone on with there: it has no ranges, and neither ETag nor Last-Modified", e.at, of)
}

func (e *brokenError) Unwrap() error { return errChanged }

// web fetches from a web server.
type web struct {
	client *http.Client
	url    string
}

// newWeb returns an origin of a web server. It follows no proxy of the environment:
// the address that is asked is the one that is held against the networks.
func newWeb(o *v1alpha1.HTTPOrigin, networks Networks) (*web, error) {
	at, err := url.Parse(o.URL)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, invalid("spec.source.http.url %q is no http or https URL", o.URL)
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		// The address as it is asked, whatever a name stands for.
		to, err := netip.ParseAddrPort(address)
		if err != nil || !networks.allow(to.Addr()) {
			return &forbiddenError{why: fmt.Sprintf("this host may not fetch images from address %s: its administrator lists networks in imageNetworks", address)}
		}
		return nil
	}}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CABundle) > 0 {
		trusted.RootCAs = x509.NewCertPool()
		if !trusted.RootCAs.AppendCertsFromPEM(o.CABundle) {
			return nil, invalid("spec.source.http.caBundle has no certificate in PEM")
		}
	}
	return &web{url: o.URL, client: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: trusted, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: maxHeader, DisableCompression: true, DisableKeepAlives: true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return fmt.Errorf("more than %d redirections", maxRedirects)
			case next.URL.Scheme != "http" && next.URL.Scheme != "https":
				return fmt.Errorf("redirected to scheme %s", next.URL.Scheme)
			case via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
				return errors.New("redirected from https to http")
			}
			return nil
		},
	}}, nil
}

// answerError is an answer that is no content.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return "the server answers " + e.text }

// Open implements origin.
func (w *web) Open(ctx context.Context, offset int64, same string) (*content, error) {
	// Ended when the content is closed, or stalls.
	ctx, cancel := context.WithCancelCause(ctx)
	fail := func(err error) (*content, error) {
		cancel(nil)
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("User-Agent", agentName)
	req.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		if same != "" {
			req.Header.Set("If-Range", same)
		}
	}
	res, err := w.client.Do(req)
	if err != nil {
		var forbidden *forbiddenError
		if errors.As(err, &forbidden) {
			err = forbidden
		}
		return fail(err)
	}
	c := &content{Total: -1, Same: validator(res.Header)}
	switch res.StatusCode {
	case http.StatusOK:
		c.Total = res.ContentLength
	case http.StatusPartialContent:
		start, total, ok := parseContentRange(res.Header.Get("Content-Range"))
		if !ok || start != offset {
			_ = res.Body.Close()
			return fail(fmt.Errorf("the server answers with Content-Range %q when asked for bytes from %d", res.Header.Get("Content-Range"), offset))
		}
		c.Offset, c.Total = start, total
	case http.StatusRequestedRangeNotSatisfiable:
		_ = res.Body.Close()
		if res.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", offset) {
			return fail(errChanged)
		}
		c.Offset, c.Total = offset, offset // all of it has been read
		c.Same = cmp.Or(c.Same, same)
		res.Body = http.NoBody
	default:
		_ = res.Body.Close()
		return fail(&answerError{status: res.StatusCode, text: res.Status})
	}
	if e := res.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		_ = res.Body.Close()
		return fail(fmt.Errorf("the server sends it encoded (%s) although it was asked not to", e))
	}
	c.Body = newStalling(ctx, res.Body, cancel)
	return c, nil
}

// validator is what tells whether the content is the same at another time: a strong
// ETag or, of such a server, when it was changed last. Source: RFC 9110, 13.1.5.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// parseContentRange reads the first byte and the total of a Content-Range; total is
// -1 when it is not said.
func parseContentRange(s string) (start, total int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, whole, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, false
	}
	first, _, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil || start < 0 {
		return 0, 0, false
	}
	if whole == "*" {
		return start, -1, true
	}
	total, err = strconv.ParseInt(whole, 10, 64)
	return start, total, err == nil && total > start
}

// stalling is a body that is given up when nothing comes for stallTimeout.
type stalling struct {
	ctx    context.Context
	body   io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

var errStalled = fmt.Errorf("the server has sent nothing for %s", stallTimeout)

func newStalling(ctx context.Context, body io.ReadCloser, cancel context.CancelCauseFunc) *stalling {
	return &stalling{ctx: ctx, body: body, cancel: cancel, timer: time.AfterFunc(stallTimeout, func() { cancel(errStalled) })}
}

// Read implements io.Reader.
func (s *stalling) Read(p []byte) (int, error) {
	s.timer.Reset(stallTimeout)
	n, err := s.body.Read(p)
	s.timer.Stop() // nobody stalls but the server
	if err != nil && !errors.Is(err, io.EOF) && context.Cause(s.ctx) != nil {
		err = context.Cause(s.ctx)
	}
	return n, err
}

// Close implements io.Closer.
func (s *stalling) Close() error {
	s.timer.Stop()
	err := s.body.Close()
	s.cancel(nil)
	return err
}
