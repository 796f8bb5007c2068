package waiting

import (
	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/podless"
)

// count counts hosts that turned the Pod away, by plugin and cause.
func count(pod *corev1.Pod, groups []rejections.Group) {
	profile, _ := podless.ProfileOf(pod)
	for i := range groups {
		g := &groups[i]
		metrics.HostsRejected(profile, g.Plugin, g.Cause(), g.Hosts)
	}
}
