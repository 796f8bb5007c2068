package executor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"domus.dev/domus/pkg/executor/hostconfig"
)

// serveTimeout bounds reading a request's header, and the end of serving.
const serveTimeout = 5 * time.Second

// serve serves health and metrics where the configuration says so, and returns
// what ends it.
func serve(ctx context.Context, config *hostconfig.Configuration, cluster *rest.Config, notReady func() error) (stop func(), err error) {
	stopSecure := func() {}
	muxes := map[string]*http.ServeMux{}
	at := func(address string) *http.ServeMux {
		if muxes[address] == nil {
			muxes[address] = http.NewServeMux()
		}
		return muxes[address]
	}
	if address := config.HealthBindAddress; address != "" {
		at(address).HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
		at(address).HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
			if err := notReady(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			_, _ = fmt.Fprintln(w, "ok")
		})
	}
	switch address := config.MetricsBindAddress; {
	case address == "":
	case !hostconfig.Loopback(address):
		if stopSecure, err = serveSecurely(ctx, config, cluster); err != nil {
			return nil, err
		}
	default:
		at(address).Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
	}
	var servers []*http.Server
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
		defer cancel()
		for _, s := range servers {
			_ = s.Shutdown(ctx)
		}
		stopSecure()
	}
	for address, mux := range muxes {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			stop()
			return nil, fmt.Errorf("serving at %s: %w: choose another address", address, err)
		}
		server := &http.Server{Handler: mux, ReadHeaderTimeout: serveTimeout}
		servers = append(servers, server)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				klog.Background().Error(err, "Serving ended", "address", address)
			}
		}()
	}
	return stop, nil
}
