package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"k8s.io/klog/v2"
)

const (
	// headerTimeout bounds reading a request's header, and idleTimeout an unused
	// connection.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
)

// HeaderFormat is the header that says what format a disk's content has.
const HeaderFormat = "Domus-Disk-Format"

// Server serves one host's transfers. Handlers are added before Serve.
type Server struct {
	Identity *Identity
	// Address is where others reach it.
	Address  string
	listener net.Listener
	mux      *http.ServeMux
}

// Listen begins to listen at bind, a host and a port, of which 0 is any. advertise
// is where others reach it when that is not what bind says; with port 0, or none,
// it has the port that is listened at.
func Listen(identity *Identity, bind, advertise string) (*Server, error) {
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("listening for transfers at %s: %w: choose another address", bind, err)
	}
	address, err := reached(listener.Addr().String(), advertise)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return &Server{Identity: identity, Address: address, listener: listener, mux: http.NewServeMux()}, nil
}

// reached is where a listener is reached.
func reached(listening, advertise string) (string, error) {
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "", fmt.Errorf("reading address %s: %w", listening, err)
	}
	if advertise == "" {
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			return "", fmt.Errorf("listening for transfers at %s: others cannot be told to call that: say in advertiseAddress what they reach this host by", listening)
		}
		return listening, nil
	}
	if h, p, err := net.SplitHostPort(advertise); err == nil {
		if p != "0" && p != "" {
			port = p
		}
		return net.JoinHostPort(h, port), nil
	}
	return net.JoinHostPort(advertise, port), nil
}

// Handle serves a pattern as http.ServeMux has them.
func (s *Server) Handle(pattern string, handler http.Handler) { s.mux.Handle(pattern, handler) }

// Close ends listening without having served.
func (s *Server) Close() error { return s.listener.Close() }

// Serve serves until ctx ends. Transfers that are under way are cut off then: who
// asked for them goes on later.
func (s *Server) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler: s.mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(quiet{klog.FromContext(ctx)}, "", 0),
		// Who calls may show a certificate; whose it is each handler asks.
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{s.Identity.certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13,
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving transfers at %s: %w", s.Address, err)
	}
	return nil
}

// quiet logs what net/http has to say of strangers where only who looks for it
// sees it.
type quiet struct{ logger klog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.logger.V(4).Info("A connection failed", "err", string(p))
	return len(p), nil
}
