// Package snapshotschedule has snapshots of VMs made as a
// VirtualMachineSnapshotSchedule says, and old ones deleted. What is due is worked
// out in pure code from what there is: a run is known by the names of its snapshots,
// so that nothing is made twice, whatever process ends when.
package snapshotschedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// lateGrace is how late a run may begin that is not a missed one.
const lateGrace = time.Minute

// Situation is all that is decided by.
type Situation struct {
	Schedule *v1alpha1.VirtualMachineSnapshotSchedule
	// VMs are the names of the schedule's VMs, sorted.
	VMs []string
	// Snapshots are those that the schedule has made, in any order.
	Snapshots []*v1alpha1.VirtualMachineSnapshot
	Now       time.Time
}

// Decision is what to do now.
type Decision struct {
	// Make are the VMs of which a snapshot of the run Run is to be made.
	Run  time.Time
	Make []string
	// Delete are snapshots that nothing keeps.
	Delete []*v1alpha1.VirtualMachineSnapshot
	// Missed says that the run LastSchedule was left out, coming too late.
	Missed bool
	// LastSchedule is when the last run was due that was begun or left out; zero where
	// there was none.
	LastSchedule time.Time
	// Next is when the next one is; zero for never.
	Next time.Time
	// Again is when something else is due: a snapshot's end. Zero for never.
	Again time.Time
	// Invalid is a field that cannot be understood; nothing is made then.
	Invalid *invalid
}

// Decide decides what to do. Its rules:
//
//   - A run is due at each time of the schedule after the last one, or after the
//     schedule was made, edited, or changed from being suspended or not understood. Of
//     several that were missed the last counts, or none, as missedRuns says.
//   - A run that cannot begin by its deadline is left out.
//   - A VM whose snapshot of an earlier run is still being made is left out of a run.
//   - Snapshots go that neither keepLast nor keepFor keeps, one by one for each VM.
//     The newest good one of a VM stays whatever is said. Failed ones are kept as good
//     ones are until a good one follows.
func Decide(in Situation) Decision {
	spec := &in.Schedule.Spec
	out := Decision{LastSchedule: timeOf(in)}
	calendar, bad := parse(spec)
	if bad != nil {
		out.Invalid = bad
		return out
	}
	if spec.Suspend || wasIdle(in.Schedule) {
		// What is due meanwhile is not made up for.
		if last := calendar.due(out.LastSchedule, in.Now); !last.IsZero() {
			out.LastSchedule = last
		}
	}
	if spec.Suspend {
		return out
	}
	out.Next = calendar.next(in.Now)
	run := calendar.due(out.LastSchedule, in.Now)
	if next := in.Schedule.Status.NextTime; next != nil && in.Now.Before(next.Time) {
		run = time.Time{} // by what the schedule was edited to since, and not by what it was
	}
	if !run.IsZero() {
		late := in.Now.Sub(run)
		deadline := spec.StartingDeadlineSeconds
		switch {
		case deadline != nil && late > time.Duration(*deadline)*time.Second,
			spec.MissedRuns == v1alpha1.MissedSkip && late > lateGrace:
			out.Missed, out.LastSchedule = true, run
		default:
			out.Run, out.LastSchedule = run, run
			out.Make = toMake(in, run)
		}
	}
	out.Delete, out.Again = toDelete(in)
	return out
}

// wasIdle says whether the schedule was suspended, or not to be understood, when it
// was looked at last.
func wasIdle(s *v1alpha1.VirtualMachineSnapshotSchedule) bool {
	return meta.IsStatusConditionFalse(s.Status.Conditions, v1alpha1.ConditionScheduleReady)
}

// timeOf is from when on runs are due: the last one, or the schedule's beginning.
func timeOf(in Situation) time.Time {
	if last := in.Schedule.Status.LastScheduleTime; last != nil {
		return last.Time
	}
	return in.Schedule.CreationTimestamp.Time
}

// toMake are the VMs of which a snapshot of the run is to be made: those that have
// none of it, and none being made.
func toMake(in Situation, run time.Time) (out []string) {
	for _, vm := range in.VMs {
		name := nameOf(in.Schedule, vm, run)
		has := slices.ContainsFunc(in.Snapshots, func(s *v1alpha1.VirtualMachineSnapshot) bool {
			return s.Name == name || s.Spec.VirtualMachineName == vm && s.DeletionTimestamp == nil && underWay(s)
		})
		if !has {
			out = append(out, vm)
		}
	}
	return out
}

// maxName is the longest name of an object, in characters.
const maxName = 253

// nameOf is the name of the VM's snapshot of the run: the same whoever makes it. What
// tells two schedules and long names apart is a digest.
func nameOf(s *v1alpha1.VirtualMachineSnapshotSchedule, vm string, run time.Time) string {
	sum := sha256.Sum256([]byte(string(s.UID) + "/" + vm))
	end := "-" + hex.EncodeToString(sum[:])[:8] + "-" + strconv.FormatInt(run.Unix()/60, 10)
	begin := vm
	if most := maxName - len(end); len(begin) > most {
		begin = begin[:most]
	}
	return begin + end
}

// good says whether the snapshot is whole.
func good(s *v1alpha1.VirtualMachineSnapshot) bool {
	return s.DeletionTimestamp == nil && (s.Status.Phase == v1alpha1.SnapshotReady || meta.IsStatusConditionTrue(s.Status.Conditions, "Ready"))
}

func failed(s *v1alpha1.VirtualMachineSnapshot) bool {
	return !good(s) && s.Status.Phase == v1alpha1.SnapshotFailed
}

// underWay says whether it is being made, or is to be.
func underWay(s *v1alpha1.VirtualMachineSnapshot) bool { return !good(s) && !failed(s) }

// scheduledAt is when the snapshot was due.
func scheduledAt(s *v1alpha1.VirtualMachineSnapshot) time.Time {
	if at, err := time.Parse(time.RFC3339, s.Annotations[v1alpha1.ScheduledAtAnnotation]); err == nil {
		return at
	}
	return s.CreationTimestamp.Time
}

// toDelete are the snapshots that nothing keeps, and when the next one of them is.
func toDelete(in Situation) (gone []*v1alpha1.VirtualMachineSnapshot, next time.Time) {
	keep := in.Schedule.Spec.Retention
	if keep.KeepLast == nil && keep.KeepFor == nil {
		return nil, time.Time{}
	}
	byVM := map[string][]*v1alpha1.VirtualMachineSnapshot{}
	for _, s := range in.Snapshots {
		if s.DeletionTimestamp == nil {
			byVM[s.Spec.VirtualMachineName] = append(byVM[s.Spec.VirtualMachineName], s)
		}
	}
	for _, list := range byVM {
		slices.SortFunc(list, func(a, b *v1alpha1.VirtualMachineSnapshot) int {
			return cmp.Or(scheduledAt(b).Compare(scheduledAt(a)), cmp.Compare(b.Name, a.Name))
		})
		var goods, fails int32
		for _, s := range list {
			switch {
			case good(s):
				goods++
			case failed(s):
				fails++
			}
			end := time.Time{}
			if keep.KeepFor != nil {
				end = scheduledAt(s).Add(keep.KeepFor.Duration)
			}
			switch {
			case underWay(s):
				// Nobody knows yet what it will be.
			case good(s) && goods == 1:
				// The newest good one.
			case keep.KeepLast != nil && good(s) && goods <= *keep.KeepLast:
			case keep.KeepFor != nil && in.Now.Before(end):
				if next.IsZero() || end.Before(next) {
					next = end
				}
			case keep.KeepLast != nil && failed(s) && goods == 0 && fails <= *keep.KeepLast:
				// It tells what is wrong, until there is a good one after it.
			default:
				gone = append(gone, s)
			}
		}
	}
	slices.SortFunc(gone, func(a, b *v1alpha1.VirtualMachineSnapshot) int { return cmp.Compare(a.Name, b.Name) })
	return gone, next
}
