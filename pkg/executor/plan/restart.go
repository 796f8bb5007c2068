package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// maxNamed is how many fields a message names.
const maxNamed = 10

// markRestart says in the status whether the guest runs with another spec than
// the VM has now, and in which fields. There is nothing to say of a VM without a
// guest, nor of a domain that does not tell what it was made of.
func markRestart(status *v1alpha1.VirtualMachineStatus, in Situation) {
	changed, placedDisks := Pending(in)
	placedAnew := placedDisks || slices.ContainsFunc(Outgrown(in), func(field string) bool { return !slices.Contains(live(in), field) })
	if len(changed) == 0 {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionRestartRequired)
		return
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionRestartRequired, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSpecChanged,
		Message:            AtNextStart(changed, placedAnew),
		ObservedGeneration: in.VM.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	})
}

// Pending lists the fields of the spec that the running guest was not started
// with, and says whether the VM is placed anew for its disks.
func Pending(in Situation) (changed []string, placedAnew bool) {
	d := in.Domain
	if d == nil || !d.Owned || !d.State.Active() || d.Ownership.Owner != in.VM.Owner() {
		return nil, false
	}
	if d.Ownership.Generation != in.VM.Generation {
		changed, _ = d.Ownership.Spec.Changed(&in.VM.Spec)
		now := live(in)
		changed = slices.DeleteFunc(changed, func(field string) bool { return slices.Contains(now, field) || cardLive(in, field) })
		if at := slices.Index(changed, disksField); at >= 0 {
			var fields []string
			fields, placedAnew = disksAtStart(in)
			changed = slices.Replace(changed, at, at+1, fields...)
		}
	}
	return withSeed(changed, in.SeedDiffers), placedAnew
}

// live lists the fields that take effect while the guest runs, or have.
func live(in Situation) (fields []string) {
	if !resizable(in) {
		return nil
	}
	cpu, memory := capacity.TakesEffectLive(in.VM.Status.Placement, capacity.Desired(&in.VM.Spec))
	if cpu {
		fields = append(fields, "spec.resources.cpu")
	}
	if memory {
		fields = append(fields, "spec.resources.memory")
	}
	return fields
}

// AtNextStart says when changed fields take effect.
func AtNextStart(changed []string, placedAnew bool) string {
	verb := "take"
	if len(changed) == 1 {
		verb = "takes"
	}
	named := strings.Join(changed[:min(len(changed), maxNamed)], ", ")
	if more := len(changed) - maxNamed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	out := named + " " + verb + " effect at the next start"
	if placedAnew {
		out += ", for which the VM is placed anew"
	}
	return out
}

// withSeed adds, to the fields in which the running guest's spec differs, that the
// content of a Secret does.
func withSeed(changed []string, differs bool) []string {
	named := slices.ContainsFunc(changed, func(field string) bool { return strings.HasPrefix(field, "spec.cloudInit") })
	if !differs || named {
		return changed
	}
	out := append(slices.Clone(changed), "spec.cloudInit (a Secret that it names has changed)")
	slices.Sort(out)
	return out
}
