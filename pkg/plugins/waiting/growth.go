package waiting

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/plugins/shortages"
	"domus.dev/domus/pkg/podless"
)

// ofGrowth says why a VM's host does not give it more: that host alone is asked,
// whatever others have.
func (r *Reasons) ofGrowth(pod *corev1.Pod, fit *framework.FitError, hosts fwk.NodeInfoLister) podless.Reason {
	d := &fit.Diagnosis
	substance := rejections.Substance(rejections.GroupBy(statuses(pod, d, hosts), nil, 0))
	return podless.Reason{Substance: substance + d.PreFilterMsg, Text: func() string {
		if d.PreFilterMsg != "" {
			return "its host is not known: " + d.PreFilterMsg
		}
		request, err := podless.NUMARequestOf(pod)
		if err != nil {
			return err.Error()
		}
		meter := shortages.New(r.fleet, request, hosts)
		words := rejections.Words(rejections.GroupBy(statuses(pod, d, hosts), meter.Of, 0))
		return "its host has too little left for it to grow: " + strings.ReplaceAll(words, "1 host: ", "")
	}}
}
