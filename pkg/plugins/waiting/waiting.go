// Package waiting says why a VM waits: for what reasons how many hosts turn it
// away, and for what is short how much it needs and the most that there is.
package waiting

import (
	"fmt"
	"iter"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/rejections"
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
	d := &fit.Diagnosis
	groups := withAbsent(rejections.GroupBy(statuses(d), nil), fit)
	reason := podless.Reason{}
	after := []string{d.PreFilterMsg, d.PostFilterMsg}
	tooLarge := strings.HasPrefix(d.PostFilterMsg, vmpreemption.TooLarge)
	if tooLarge {
		reason.Verdict = vmpreemption.TooLarge
		var others []rejections.Group
		for _, g := range groups {
			if !ofCapacity(g.Kind) {
				others = append(others, g)
			}
		}
		groups = others
	}
	reason.Substance = rejections.Substance(groups) + strings.Join(after, "\n")
	reason.Text = func() string {
		if d.PreFilterMsg != "" {
			// The same is said of each host.
			return sentences(fmt.Sprintf("none of %d hosts can take it: %s", fit.NumAllNodes, rejections.Reason(d.PreFilterMsg, fit.NumAllNodes)), d.PostFilterMsg)
		}
		m, err := newMeter(r.fleet, pod, hosts)
		if err != nil {
			return fit.Error()
		}
		if tooLarge {
			all := rejections.GroupBy(m.whenEmpty(statuses(d)), m.ofEmpty)
			return sentences(d.PostFilterMsg, rejections.Words(withAbsent(all, fit)))
		}
		all := rejections.Words(withAbsent(rejections.GroupBy(statuses(d), m.of), fit))
		if fit.NumAllNodes != 1 {
			all = fmt.Sprintf("none of %d hosts can take it: %s", fit.NumAllNodes, all)
		}
		return sentences(all, d.PostFilterMsg)
	}
	return reason
}

// statuses are what each host says.
func statuses(d *framework.Diagnosis) iter.Seq2[string, *fwk.Status] {
	return func(yield func(string, *fwk.Status) bool) {
		more := true
		d.NodeToStatus.ForEachExplicitNode(func(host string, status *fwk.Status) {
			more = more && yield(host, status)
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
