package executor

import (
	"context"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/qemulog"
)

// lastWords is what the QEMU of the domain said last, if it was started at or after
// since; "" where that is not known. It is told beside what libvirt says, and so no
// error where it cannot be read.
func (a *Agent) lastWords(ctx context.Context, domain string, since time.Time) string {
	if a.config.QEMULogDir == "" {
		return ""
	}
	said, err := qemulog.Read(a.config.QEMULogDir, domain, since)
	if err != nil {
		klog.FromContext(ctx).Info("What QEMU said last could not be read", keyDomain, domain, keyError, err.Error())
		return ""
	}
	return said
}

// withLastWords adds what QEMU said to what libvirt says of a start that failed, where
// libvirt does not quote it.
func withLastWords(message, said string) string {
	last := said[strings.LastIndex(said, "; ")+1:]
	if strings.Contains(message, strings.TrimSpace(last)) {
		return message
	}
	return message + plan.LastWords(said)
}
