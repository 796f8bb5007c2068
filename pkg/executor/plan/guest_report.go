package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Voice is what is known of an agent's answering.
type Voice int

const (
	// voicePending: it was not asked yet, or has been away for a moment.
	voicePending Voice = iota
	// VoiceAnswers is that of one which answered when it was asked last.
	VoiceAnswers
	// VoiceSilent is that of one which did not.
	VoiceSilent
)

// GuestView is what is known of a guest through its agent.
type GuestView struct {
	Channel libvirt.AgentState
	Voice   Voice
	// said is nil while this process has not had an answer from this guest.
	Said *v1alpha1.GuestStatus
}

// apply writes the view into the status of a VM that is in the state. fresh says
// that its guest is another one than the status was about. It is pure; applying
// it twice changes nothing.
func (v GuestView) apply(status *v1alpha1.VirtualMachineStatus, state v1alpha1.HostState, fresh bool, now time.Time) {
	switch state {
	case v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping:
	default:
		fresh = true // there is no guest
	}
	if fresh {
		status.Guest = nil
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionAgentConnected)
	}
	if state != v1alpha1.HostRunning {
		// A guest that stands still or goes down does not answer, and that says
		// nothing: what it said stays.
		return
	}
	if v.Channel == libvirt.AgentNone {
		status.Guest = nil
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionAgentConnected)
		return
	}
	if v.Said != nil {
		status.Guest = v.Said.DeepCopy()
	}
	before := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAgentConnected)
	next := metav1.Condition{
		Type: v1alpha1.ConditionAgentConnected, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonAgentSilent,
		Message:            "no guest agent has been heard since the guest was started: install and start qemu-guest-agent in it",
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
	switch {
	case v.Voice == VoiceAnswers:
		next.Status, next.Reason, next.Message = metav1.ConditionTrue, v1alpha1.ReasonAgentAnswers, ""
	case before != nil && v.Voice == voicePending:
		return
	case v.Voice == VoiceSilent && v.Channel == libvirt.AgentOpen:
		next.Status = metav1.ConditionFalse
		next.Message = "the guest agent has its channel open and does not answer: restart qemu-guest-agent in the guest"
	case before != nil && before.Status != metav1.ConditionUnknown:
		next.Status = metav1.ConditionFalse
		next.Message = "the guest agent has closed its channel: see whether qemu-guest-agent runs in the guest"
	}
	meta.SetStatusCondition(&status.Conditions, next)
}
