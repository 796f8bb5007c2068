package hostconfig

import (
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateServing says what is wrong with where health and metrics are served.
func (c *Configuration) validateServing() field.ErrorList {
	var errs field.ErrorList
	metrics := field.NewPath("metricsBindAddress")
	for _, a := range []struct {
		path    *field.Path
		address string
	}{{field.NewPath("healthBindAddress"), c.HealthBindAddress}, {metrics, c.MetricsBindAddress}} {
		if _, _, err := net.SplitHostPort(a.address); a.address != "" && err != nil {
			errs = append(errs, field.Invalid(a.path, a.address, "must be an address with a port, such as 127.0.0.1:9410: "+err.Error()))
		}
	}
	secure := c.MetricsBindAddress != "" && !Loopback(c.MetricsBindAddress)
	if secure && c.MetricsBindAddress == c.HealthBindAddress {
		errs = append(errs, field.Invalid(metrics, c.MetricsBindAddress, "is served by TLS, since it is not a loopback address: give healthBindAddress another port"))
	}
	if !secure && c.MetricsCertDir != "" {
		errs = append(errs, field.Forbidden(field.NewPath("metricsCertDir"), "metrics are served without TLS on a loopback address: remove it, or choose another metricsBindAddress"))
	}
	return errs
}

// Loopback says whether only this machine reaches the address.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
