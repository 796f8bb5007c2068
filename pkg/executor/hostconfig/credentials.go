package hostconfig

import (
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/validation/field"
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
