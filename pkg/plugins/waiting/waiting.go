// Package waiting says why a VM waits: for what reasons how many hosts turn it
// away, and for what is short how much it needs and the most that there is.
package waiting

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/plugins/shortages"
	"domus.dev/domus/pkg/plugins/vmpreemption"
	"domus.dev/domus/pkg/podless"
)

// Reasons implements podless.Reasons over the hosts of a Fleet.
type Reasons struct{ fleet *fleet.Fleet }

var _ podless.Reasons = &Reasons{}

// New returns Reasons that look up amounts in f.
func New(f *fleet.Fleet) *Reasons { return &Reasons{fleet: f} }

// Of implements podless.Reasons. For a VM that is too large for any host it is
// no matter which of them are full just now.
func (r *Reasons) Of(pod *corev1.Pod, fit *framework.FitError, hosts fwk.NodeInfoLister) podless.Reason {
	if podless.IsGrowth(pod.Name) {
		return r.ofGrowth(pod, fit, hosts)
	}
	d := &fit.Diagnosis
	never := strings.HasPrefix(d.PostFilterMsg, rejections.NoHost)
	tooLarge := strings.HasPrefix(d.PostFilterMsg, vmpreemption.TooLarge)
	groups := withAbsent(rejections.GroupBy(statuses(pod, d, hosts), nil, 0), fit)
	count(pod, groups)
	if tooLarge {
		groups = slices.DeleteFunc(groups, func(g rejections.Group) bool { return shortages.OfCapacity(g.Kind) })
	}
	reason := podless.Reason{Substance: rejections.Substance(groups) + d.PreFilterMsg + "\n" + d.PostFilterMsg}
	if never {
		reason.Verdict = rejections.NoHost
	}
	reason.Text = func() string {
		all := r.hosts(pod, fit, hosts, tooLarge)
		switch {
		case never:
			return sentences(d.PostFilterMsg, all)
		case fit.NumAllNodes == 1:
			return sentences(all, d.PostFilterMsg)
		}
		return sentences(fmt.Sprintf("none of %d hosts can take it: %s", fit.NumAllNodes, all), d.PostFilterMsg)
	}
	return reason
}

// hosts says why hosts turn the VM away.
func (r *Reasons) hosts(pod *corev1.Pod, fit *framework.FitError, hosts fwk.NodeInfoLister, tooLarge bool) string {
	d := &fit.Diagnosis
	if d.PreFilterMsg != "" {
		// The same is said of each host.
		return rejections.Reason(d.PreFilterMsg, fit.NumAllNodes)
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return err.Error()
	}
	said, meter := statuses(pod, d, hosts), shortages.New(r.fleet, request, hosts)
	if tooLarge {
		said = meter.WhenEmpty(said)
	}
	return rejections.Words(withAbsent(rejections.GroupBy(said, meter.Of, 0), fit))
}

// statuses are what each host says of the Pod, with its taints by name.
func statuses(pod *corev1.Pod, d *framework.Diagnosis, hosts fwk.NodeInfoLister) iter.Seq2[string, *fwk.Status] {
	return func(yield func(string, *fwk.Status) bool) {
		more := true
		d.NodeToStatus.ForEachExplicitNode(func(host string, status *fwk.Status) {
			if !more {
				return
			}
			if node, err := hosts.Get(host); err == nil {
				status = rejections.NameTaints(status, pod, node.Node())
			}
			more = yield(host, status)
		})
	}
}

// withAbsent adds the hosts that were not looked at, of which one thing is said.
func withAbsent(groups []rejections.Group, fit *framework.FitError) []rejections.Group {
	statuses := fit.Diagnosis.NodeToStatus
	absent := fit.NumAllNodes - statuses.Len()
	if absent <= 0 {
		return groups
	}
	for _, kind := range rejections.Kinds(statuses.AbsentNodesStatus()) {
		groups = rejections.Insert(groups, rejections.Group{Kind: kind, Hosts: absent})
	}
	return groups
}

// sentences joins what there is, each but the first with a capital letter.
func sentences(all ...string) string {
	out := ""
	for _, s := range all {
		switch {
		case s == "":
		case out == "":
			out = s
		default:
			out += ". " + strings.ToUpper(s[:1]) + s[1:]
		}
	}
	return out
}
