package volumes

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// apply writes r into the status of the disk, into the fields that are the host's.
// It is pure; applying it twice changes nothing.
func (r Report) apply(status *v1alpha1.VirtualDiskStatus, d *v1alpha1.VirtualDisk, now time.Time) {
	status.Phase = r.Phase
	status.ObservedGeneration = d.Generation
	if v := r.Volume; v != nil {
		status.VolumeName, status.Format, status.Capacity = v.Name, v1alpha1.DiskFormat(v.Format), v.Capacity
		status.Allocation = steadyAllocation(status.Allocation, v.Allocation, v.Capacity)
	}
	if r.Move != nil {
		status.MoveProgress = r.Move.DeepCopy()
	}
	at := metav1.NewTime(now.Truncate(time.Second))
	set := func(kind, reason, message string, is bool) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message, ObservedGeneration: d.Generation, LastTransitionTime: at}
		if is {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, c)
	}
	set(v1alpha1.ConditionDiskReady, r.Reason, r.Message, r.Reason == v1alpha1.ReasonVolumeReady)
	switch {
	case r.NotSized != "":
		set(v1alpha1.ConditionDiskSized, r.NotSized, r.Why, false)
	case r.Reason == v1alpha1.ReasonVolumeReady:
		set(v1alpha1.ConditionDiskSized, v1alpha1.ReasonVolumeReady, "the volume has the size that spec asks for", true)
	}
}

// Ready says whether a guest can use the disk.
func Ready(d *v1alpha1.VirtualDisk) bool {
	return d.Status.VolumeName != "" && meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionDiskReady)
}

const (
	// leastStep is the least that an amount has to change by to be written.
	leastStep = 16 << 20
	// A volume's allocation is said to a 32nd of its capacity, and a pool's space
	// to a 256th.
	allocationSteps = 32
	poolSteps       = 256
)

// steadyAllocation is what to say of a volume's allocation: what was said, unless
// it is off by a step.
func steadyAllocation(said, is, capacity int64) int64 {
	step := max(capacity/allocationSteps, leastStep)
	if said > is-step && said < is+step && (said != 0 || is < leastStep) {
		return said
	}
	return is
}

// steadyRoom is what to say of a pool's space: never more than there is, what was
// said as long as that is so and it is off by less than two steps, and else a
// whole number of steps.
func steadyRoom(said, is, capacity int64) int64 {
	step := max(capacity/poolSteps, leastStep)
	if capacity < leastStep*4 {
		step = max(capacity/poolSteps, 1)
	}
	if said > 0 && said <= is && is-said < 2*step {
		return said
	}
	return max(is/step*step, 0)
}
