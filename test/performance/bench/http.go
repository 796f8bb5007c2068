package main

import (
	"crypto/tls"
	"fmt"
	"net/http"

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
