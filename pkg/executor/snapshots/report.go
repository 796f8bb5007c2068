package snapshots

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// apply writes r into the status, into the fields that are the host's. It is pure;
// applying it twice changes nothing.
func (r Report) apply(status *v1alpha1.VirtualMachineSnapshotStatus, s *v1alpha1.VirtualMachineSnapshot, now time.Time) {
	status.Phase, status.ObservedGeneration = r.Phase, s.Generation
	is := metav1.ConditionFalse
	if r.Reason == v1alpha1.ReasonSnapshotReady {
		is = metav1.ConditionTrue
	}
	condition(status, s, v1alpha1.ConditionSnapshotReady, is, r.Reason, r.Message, now)
}

// apply writes a snapshot that was made into the status.
func (m Made) apply(status *v1alpha1.VirtualMachineSnapshotStatus, s *v1alpha1.VirtualMachineSnapshot, now time.Time) {
	Report{Phase: v1alpha1.SnapshotReady, Reason: v1alpha1.ReasonSnapshotReady, Message: whole}.apply(status, s, now)
	at := metav1.NewTime(wholeSeconds(m.At))
	status.CreatedAt, status.MemoryBytes, status.Current = &at, m.MemoryBytes, true
	is := metav1.ConditionFalse
	if m.Quiesced {
		is = metav1.ConditionTrue
	}
	condition(status, s, v1alpha1.ConditionQuiesced, is, m.Reason, m.Message, now)
}

func condition(status *v1alpha1.VirtualMachineSnapshotStatus, s *v1alpha1.VirtualMachineSnapshot, kind string, is metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: is, Reason: reason, Message: message,
		ObservedGeneration: s.Generation, LastTransitionTime: metav1.NewTime(wholeSeconds(now)),
	})
}
