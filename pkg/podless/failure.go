package podless

import (
	"context"
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// before has the words for a Pod's failure decided before the scheduler handles
// it. The scheduler still does all of that, with its own words in log and
// queue; those it writes are replaced by client and recorder.
func (s *sayings) before(handle scheduler.FailureHandlerFn, reasons Reasons) scheduler.FailureHandlerFn {
	return func(ctx context.Context, fw framework.Framework, info *framework.QueuedPodInfo, status *fwk.Status, nominating *fwk.NominatingInfo, start time.Time) {
		// The queue's Pod may be behind what is shown.
		verdict := ""
		shown, err := fw.SharedInformerFactory().Core().V1().Pods().Lister().Pods(info.Pod.Namespace).Get(info.Pod.Name)
		if err == nil && shown.UID == info.Pod.UID && shown.Spec.NodeName == "" {
			r := reasonOf(status, func(fit *framework.FitError) Reason {
				return reasons.Of(shown, fit, fw.SnapshotSharedLister().NodeInfos())
			})
			nominate(&r, shown, nominating)
			s.failed(shown, &r)
			verdict = r.Verdict
		}
		attempted(info.Pod, status, verdict)
		handle(ctx, fw, info, status, nominating, start)
	}
}

// reasonOf reads why a Pod found no host: because of what hosts said, or for any
// other reason, which is an error or concerns its group.
func reasonOf(status *fwk.Status, ofHosts func(*framework.FitError) Reason) Reason {
	err := status.AsError()
	var fit *framework.FitError
	if errors.As(err, &fit) {
		return ofHosts(fit)
	}
	text := status.Message()
	switch {
	case errors.Is(err, scheduler.ErrNoNodesAvailable):
		text = "there are no hosts"
	case status.IsRejected():
		text = groupWords.Replace(text)
	}
	return Reason{Substance: status.Code().String() + ": " + withoutNumbers(text), Text: func() string { return text }}
}

// groupWords put into words that fit a VM what the scheduler says of a group.
var groupWords = strings.NewReplacer(
	"pod group is unschedulable, ", "its group cannot be placed as a whole: ",
	", pod group preemption: No preemption victims found for incoming preemptor", ". Evicting VMs of lower priority would not make room",
	", pod group preemption: not eligible due to preemptionPolicy=Never.", ". Its PriorityClass lets it evict no other VM",
)

// withoutNumbers drops digits.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// nominate adds for which host room is being made, if for any.
func nominate(r *Reason, pod *corev1.Pod, nominating *fwk.NominatingInfo) {
	host := pod.Status.NominatedNodeName
	if nominating.Mode() == fwk.ModeOverride {
		host = nominating.NominatedNodeName
	}
	if host == "" {
		return
	}
	text := r.Text
	r.Verdict += "room on " + host
	r.Text = func() string { return text() + ". Room is being made for it on " + host }
}
