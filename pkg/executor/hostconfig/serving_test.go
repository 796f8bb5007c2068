package hostconfig

import (
	"strings"
	"testing"
)

func TestWhereMetricsAreServed(t *testing.T) {
	for name, test := range map[string]struct {
		health, metrics, certDir string
		want                     string
	}{
		"nowhere":                            {},
		"one loopback address for both":      {health: "127.0.0.1:9411", metrics: "127.0.0.1:9411"},
		"by TLS with a certificate":          {health: ":9411", metrics: ":9410", certDir: "/etc/domus"},
		"by TLS on the address of health":    {health: "0.0.0.0:9410", metrics: "0.0.0.0:9410", want: "metricsBindAddress"},
		"a certificate for a page without":   {metrics: "[::1]:9410", certDir: "/etc/domus", want: "metricsCertDir"},
		"an address without a port":          {metrics: "127.0.0.1", want: "metricsBindAddress"},
		"health at an address without one":   {health: "localhost", want: "healthBindAddress"},
		"a certificate, and no page at all ": {certDir: "/etc/domus", want: "metricsCertDir"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Configuration{HealthBindAddress: test.health, MetricsBindAddress: test.metrics, MetricsCertDir: test.certDir}
			errs := c.validateServing()
			if test.want == "" && len(errs) > 0 || test.want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), test.want+":")) {
				t.Errorf("errors %v, want one of %q", errs, test.want)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.org:1": false, "127.0.0.1": false, "127.0.0.1.example.org:1": false,
	} {
		if Loopback(address) != want {
			t.Errorf("%s is loopback: %t", address, !want)
		}
	}
}
