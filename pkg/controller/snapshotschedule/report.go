package snapshotschedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// maxActive bounds status.active, and maxNamed how many VMs a message names.
	maxActive = 64
	maxNamed  = 5
)

// report writes into the status what was decided and what there is: it is pure, and
// changes nothing the second time.
func report(status *v1alpha1.VirtualMachineSnapshotScheduleStatus, in Situation, d Decision) {
	status.ObservedGeneration = in.Schedule.Generation
	status.LastScheduleTime, status.NextTime = wholeSeconds(d.LastSchedule), wholeSeconds(d.Next)
	if status.LastScheduleTime != nil && status.LastScheduleTime.Time.Equal(in.Schedule.CreationTimestamp.Time) {
		status.LastScheduleTime = nil // there was none yet
	}
	status.Active, status.Snapshots = nil, 0
	for _, s := range in.Snapshots {
		if s.DeletionTimestamp != nil {
			continue
		}
		status.Snapshots++
		if underWay(s) && len(status.Active) < maxActive {
			status.Active = append(status.Active, s.Name)
		}
	}
	slices.Sort(status.Active)
	set := func(kind string, is metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: is, Reason: reason, Message: message, ObservedGeneration: in.Schedule.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
		})
	}
	switch {
	case d.Invalid != nil:
		set(v1alpha1.ConditionScheduleReady, metav1.ConditionFalse, d.Invalid.reason, d.Invalid.message)
	case in.Schedule.Spec.Suspend:
		set(v1alpha1.ConditionScheduleReady, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "spec.suspend is true: no snapshot is made, and none deleted")
	case d.Next.IsZero():
		set(v1alpha1.ConditionScheduleReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSchedule, "spec.schedule: there is no such time")
	default:
		set(v1alpha1.ConditionScheduleReady, metav1.ConditionTrue, v1alpha1.ReasonWaitingForTime, "snapshots are made when they are due")
	}
	reportRun(status, in, d, set)
}

// reportRun says what came of the last run.
func reportRun(status *v1alpha1.VirtualMachineSnapshotScheduleStatus, in Situation, d Decision, set func(kind string, is metav1.ConditionStatus, reason, message string)) {
	if d.Missed {
		set(v1alpha1.ConditionLastRun, metav1.ConditionFalse, v1alpha1.ReasonRunsMissed, fmt.Sprintf("the run that was due at %s was left out: it came too late", d.LastSchedule.UTC().Format(time.RFC3339)))
		return
	}
	if status.LastScheduleTime == nil {
		return
	}
	var of []*v1alpha1.VirtualMachineSnapshot
	for _, s := range in.Snapshots {
		if scheduledAt(s).Equal(status.LastScheduleTime.Time) {
			of = append(of, s)
		}
	}
	var bad, pending []string
	why := "see the snapshots"
	for _, s := range of {
		switch {
		case s.DeletionTimestamp != nil:
		case failed(s):
			bad = append(bad, s.Spec.VirtualMachineName)
			if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionSnapshotReady); c != nil && len(bad) == 1 {
				why = fmt.Sprintf("%s: %s", s.Name, c.Message)
			}
		case underWay(s):
			pending = append(pending, s.Spec.VirtualMachineName)
		}
	}
	pending = append(pending, d.Make...)
	switch {
	case len(in.VMs) == 0 && len(of) == 0 && !d.Run.IsZero():
		set(v1alpha1.ConditionLastRun, metav1.ConditionFalse, v1alpha1.ReasonNoVirtualMachine, "there is no VirtualMachine that spec.virtualMachineName names or spec.selector selects")
	case len(of)+len(d.Make) == 0:
		// It was left out before, or its snapshots are gone by now.
	case len(bad) > 0:
		set(v1alpha1.ConditionLastRun, metav1.ConditionFalse, v1alpha1.ReasonSnapshotsFailed, "there is no good snapshot of VirtualMachine "+some(bad)+": "+why)
	case len(pending) > 0:
		set(v1alpha1.ConditionLastRun, metav1.ConditionUnknown, v1alpha1.ReasonSnapshotsUnderWay, "a snapshot is being made of VirtualMachine "+some(pending))
	default:
		set(v1alpha1.ConditionLastRun, metav1.ConditionTrue, v1alpha1.ReasonSnapshotsReady, "the snapshots are there")
		status.LastSuccessfulTime = status.LastScheduleTime
	}
}

// reportRefused says that snapshots of the run could not be created, which is tried
// again: the run is not noted as begun.
func reportRefused(status *v1alpha1.VirtualMachineSnapshotScheduleStatus, in Situation, d Decision, why error) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionLastRun, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSnapshotsFailed,
		Message:            fmt.Sprintf("of the run that was due at %s not all snapshots could be created, and it is tried again: %v", d.Run.UTC().Format(time.RFC3339), why),
		ObservedGeneration: in.Schedule.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	})
}

// some names the first of the VMs, sorted.
func some(vms []string) string {
	vms = slices.Compact(slices.Sorted(slices.Values(vms)))
	if more := len(vms) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(vms[:maxNamed], ", "), more)
	}
	return strings.Join(vms, ", ")
}

// wholeSeconds is the time as the API stores it; nil for none.
func wholeSeconds(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	out := metav1.NewTime(t.Truncate(time.Second))
	return &out
}
