package executor

import (
	"context"
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"

	"domus.dev/domus/pkg/executor/credentials"
)

func (h *HostConfiguration) validateCertificateDir(path *field.Path) field.ErrorList {
	switch {
	case h.CertificateDir == "":
		return nil
	case !filepath.IsAbs(h.CertificateDir):
		return field.ErrorList{field.Invalid(path, h.CertificateDir, "must be a whole path, such as /var/lib/vm-executor/pki")}
	case h.Kubeconfig == "":
		return field.ErrorList{field.Forbidden(path, "the first certificate is asked for with a kubeconfig: set kubeconfig, or remove certificateDir")}
	}
	return nil
}

// credentials is the host's connection, with a certificate of its own where it is to
// have one.
func (h *HostConfiguration) credentials(ctx context.Context) (*rest.Config, error) {
	connect := func() (*rest.Config, error) { return connection(h.Kubeconfig) }
	if h.CertificateDir == "" {
		return connect()
	}
	return credentials.Keep(ctx, credentials.Options{Node: h.NodeName, Dir: h.CertificateDir, Connect: connect})
}
