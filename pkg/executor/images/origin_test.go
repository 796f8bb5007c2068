package images

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var everywhere = Networks{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func noise(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rand.Uint32())
	}
	return out
}

// hurrying is a clock on which nobody waits long.
type hurrying struct{ clock.RealClock }

func (hurrying) After(time.Duration) <-chan time.Time { return time.After(time.Millisecond) }

// server serves content, and breaks off as serve says.
type server struct {
	content []byte
	tag     string
	// cut is after how many bytes an answer breaks off; never when negative.
	cut     atomic.Int64
	noRange bool
	// plain is an answer's status instead; 0 for content.
	plain atomic.Int64
	asked atomic.Int64
	sent  atomic.Int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if code := s.plain.Load(); code != 0 {
		w.WriteHeader(int(code))
		return
	}
	if s.noRange {
		r.Header.Del("Range")
	}
	if s.tag != "" {
		w.Header().Set("ETag", s.tag)
	}
	http.ServeContent(&breaking{ResponseWriter: w, server: s, left: s.cut.Load()}, r, "", time.Time{}, bytes.NewReader(s.content))
}

type breaking struct {
	http.ResponseWriter
	server *server
	left   int64
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left >= 0 && int64(len(p)) > b.left {
		n, _ := b.ResponseWriter.Write(p[:b.left])
		b.server.sent.Add(int64(n))
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if b.left >= 0 {
		b.left -= int64(len(p))
	}
	b.server.sent.Add(int64(len(p)))
	return b.ResponseWriter.Write(p)
}

func serve(t testing.TB, content []byte, tag string) (*server, string) {
	t.Helper()
	s := &server{content: content, tag: tag}
	s.cut.Store(-1)
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	return s, at.URL
}

func readAll(t *testing.T, o origin, offset int64) ([]byte, error) {
	t.Helper()
	s := &steady{ctx: t.Context(), origin: o, clock: hurrying{}}
	defer s.close()
	if _, err := s.open(offset); err != nil {
		return nil, err
	}
	return io.ReadAll(s)
}

func fromWeb(t *testing.T, url string) *web {
	t.Helper()
	w, err := newWeb(&v1alpha1.HTTPOrigin{URL: url}, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAServerThatBreaksOff(t *testing.T) {
	content := noise(1 << 20)
	t.Run("is gone on with where it ended", func(t *testing.T) {
		s, url := serve(t, content, `"a"`)
		s.cut.Store(300_000)
		got, err := readAll(t, fromWeb(t, url), 0)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(content), err)
		}
		if s.asked.Load() != 4 || s.sent.Load() != 1<<20 {
			t.Errorf("asked %d times, sent %d bytes", s.asked.Load(), s.sent.Load())
		}
	})
	t.Run("and cannot go on begins anew, and what is known is skipped", func(t *testing.T) {
		s, url := serve(t, content, `"a"`)
		s.cut.Store(1<<20 - 1)
		s.noRange = true
		go func() {
			for s.asked.Load() < 2 {
				time.Sleep(time.Millisecond)
			}
			s.cut.Store(-1)
		}()
		got, err := readAll(t, fromWeb(t, url), 0)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("and has other content then is told of", func(t *testing.T) {
		s, url := serve(t, content, `"a"`)
		s.cut.Store(300_000)
		o := fromWeb(t, url)
		r := &steady{ctx: t.Context(), origin: o, clock: hurrying{}}
		if _, err := r.open(0); err != nil {
			t.Fatal(err)
		}
		s.tag = `"b"`
		if _, err := io.ReadAll(r); !errors.Is(err, errChanged) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("and tells nothing by which to go on", func(t *testing.T) {
		s, url := serve(t, content, "")
		s.cut.Store(300_000)
		s.noRange = true
		_, err := readAll(t, fromWeb(t, url), 0)
		if want := fmt.Sprintf("the server broke off after 300000 bytes of %d, and it cannot be gone on with there: it has no ranges, and neither ETag nor Last-Modified", len(content)); !errors.Is(err, errChanged) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
	t.Run("and never sends anything is given up", func(t *testing.T) {
		s, url := serve(t, content, `"a"`)
		s.cut.Store(0)
		if _, err := readAll(t, fromWeb(t, url), 0); !errors.Is(err, io.ErrUnexpectedEOF) || s.asked.Load() != maxBreaks {
			t.Errorf("asked %d times, %v", s.asked.Load(), err)
		}
	})
	t.Run("and is over its limits for a while is asked again", func(t *testing.T) {
		s, url := serve(t, content, `"a"`)
		s.cut.Store(600_000)
		r := &steady{ctx: t.Context(), origin: fromWeb(t, url), clock: hurrying{}}
		if _, err := r.open(0); err != nil {
			t.Fatal(err)
		}
		s.plain.Store(http.StatusServiceUnavailable)
		go func() {
			for s.asked.Load() < 3 {
				time.Sleep(time.Millisecond)
			}
			s.plain.Store(0)
		}()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestAServersAnswers(t *testing.T) {
	content := noise(1000)
	s, url := serve(t, content, `"a"`)
	o := fromWeb(t, url)
	if got, err := readAll(t, o, 400); err != nil || !bytes.Equal(got, content[400:]) {
		t.Errorf("from byte 400: %d bytes, %v", len(got), err)
	}
	if got, err := readAll(t, o, 1000); err != nil || len(got) != 0 {
		t.Errorf("all is there: %d bytes, %v", len(got), err)
	}
	if _, err := readAll(t, o, 1001); !errors.Is(err, errChanged) {
		t.Errorf("more than all is there: %v", err)
	}
	s.noRange = true
	if got, err := readAll(t, o, 400); err != nil || !bytes.Equal(got, content) {
		t.Errorf("a server without ranges: %d bytes, %v", len(got), err)
	}
	for _, code := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusInternalServerError} {
		s.plain.Store(int64(code))
		if _, err := readAll(t, o, 0); err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) {
			t.Errorf("answer %d: %v", code, err)
		}
	}
}

func TestRedirections(t *testing.T) {
	content := noise(1000)
	_, url := serve(t, content, "")
	hops := 0
	hop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hops--; hops < 0 {
			http.Redirect(w, r, url, http.StatusFound)
			return
		}
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer hop.Close()
	if got, err := readAll(t, fromWeb(t, hop.URL), 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("one: %d bytes, %v", len(got), err)
	}
	hops = 1000
	if _, err := readAll(t, fromWeb(t, hop.URL), 0); err == nil || !strings.Contains(err.Error(), "more than 5 redirections") {
		t.Errorf("without end: %v", err)
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, url, http.StatusFound)
	}))
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	o, err := newWeb(&v1alpha1.HTTPOrigin{URL: secure.URL, CABundle: ca}, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, o, 0); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("from https to http: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	content := noise(1000)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content) }))
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	o, err := newWeb(&v1alpha1.HTTPOrigin{URL: s.URL, CABundle: ca}, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, o, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var untrusted *tls.CertificateVerificationError
	if _, err := readAll(t, fromWeb(t, s.URL), 0); !errors.As(err, &untrusted) {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	if _, err := newWeb(&v1alpha1.HTTPOrigin{URL: s.URL, CABundle: []byte("x")}, everywhere); err == nil {
		t.Error("a bundle without certificates is taken")
	}
}

// What only the host may reach is not fetched, by whatever name or redirection.
func TestNetworks(t *testing.T) {
	content := noise(10)
	_, url := serve(t, content, "")
	var forbidden *forbiddenError
	for _, at := range []string{url, strings.Replace(url, "127.0.0.1", "localhost", 1), "http://[::1]:1/x", "http://169.254.169.254/latest", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/"} {
		o, err := newWeb(&v1alpha1.HTTPOrigin{URL: at}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(t.Context(), 0, ""); !errors.As(err, &forbidden) {
			t.Errorf("%s: %v", at, err)
		}
	}
	for at, networks := range map[string]map[string]bool{
		"":            {"10.0.0.1": true, "1.1.1.1": true, "2001:db8::1": true, "127.0.0.1": false, "fe80::1": false, "224.0.0.1": false, "169.254.169.254": false, "::": false},
		"10.1.0.0/16": {"10.1.2.3": true, "10.2.0.1": false, "1.1.1.1": false, "::ffff:10.1.2.3": true, "127.0.0.1": false},
	} {
		var n Networks
		if at != "" {
			n = Networks{netip.MustParsePrefix(at)}
		}
		for address, want := range networks {
			if got := n.allow(netip.MustParseAddr(address)); got != want {
				t.Errorf("networks %q allow %s: %v", at, address, got)
			}
		}
	}
	sent := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/", http.StatusFound))
	defer sent.Close()
	o, err := newWeb(&v1alpha1.HTTPOrigin{URL: sent.URL}, Networks{netip.MustParsePrefix("127.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(t.Context(), 0, ""); !errors.As(err, &forbidden) {
		t.Errorf("a redirection: %v", err)
	}
}

func TestTheFolderOfImages(t *testing.T) {
	dir := t.TempDir()
	within := filepath.Join(dir, "images")
	content := noise(1000)
	for _, err := range []error{
		os.Mkdir(within, 0o700), os.WriteFile(filepath.Join(within, "good"), content, 0o600),
		os.WriteFile(filepath.Join(dir, "secret"), content, 0o600), os.Symlink("../secret", filepath.Join(within, "out")),
		os.Symlink("good", filepath.Join(within, "link")),
		os.Mkdir(filepath.Join(within, "folder"), 0o700), syscall.Mkfifo(filepath.Join(within, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"good", "link"} {
		if got, err := readAll(t, &folder{within, name}, 400); err != nil || !bytes.Equal(got, content[400:]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for _, name := range []string{"out", "../secret", "/etc/passwd", "folder", "pipe", "none"} {
		_, err := readAll(t, &folder{within, name}, 0)
		if err == nil || strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that sends nothing any more is not waited for.
func TestStalling(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	context.AfterFunc(ctx, func() { _ = reader.CloseWithError(context.Cause(ctx)) })
	s := newStalling(ctx, reader, cancel)
	s.timer.Stop()
	s.timer = time.AfterFunc(time.Hour, func() { cancel(errStalled) })
	go func() { time.Sleep(10 * time.Millisecond); cancel(errStalled) }()
	if _, err := s.Read(make([]byte, 10)); !errors.Is(err, errStalled) {
		t.Errorf("error %v", err)
	}
}

// What is to be a guest's whole disk has no more bytes than were asked for, whatever
// a server sends.
func TestBounded(t *testing.T) {
	for name, test := range map[string]struct {
		room, most int64
		want       string
	}{
		"all of it":         {room: 100, most: 100},
		"nobody said":       {room: 100, most: -1},
		"more than is said": {room: 1000, most: 99, want: "a guest sees more of it than spec.size says"},
		"more than is free": {room: 99, most: -1, want: "99 for it, and it needs 100"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bounded{from: bytes.NewReader(make([]byte, 100)), left: test.room, room: test.room, most: test.most}
			_, err := io.ReadAll(b)
			if got := fmt.Sprint(err); !errors.Is(err, b.failed) || err != nil && got != test.want || err == nil && test.want != "" {
				t.Errorf("error %v, want %q; it remembers %v", err, test.want, b.failed)
			}
		})
	}
}
