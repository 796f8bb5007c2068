package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// httpClient reads what is no API object: profiles. The scheduler's certificate
// is of its own making, and on loopback.
func httpClient(p *plane) (*http.Client, error) {
	cfg := rest.CopyConfig(p.rest)
	cfg.CAData, cfg.CAFile = nil, ""
	cfg.Insecure = true
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a TLS configuration: %w", err)
	}
	tlsConfig.MinVersion = tls.VersionTLS12
	return &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig}}, nil
}

// untilReady waits until a program says at url that it is ready.
func untilReady(ctx context.Context, c *http.Client, url string) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, fmt.Errorf("asking %s: %w", url, err)
		}
		res, err := c.Do(req)
		if err != nil {
			return false, nil
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", url, err)
	}
	return nil
}
