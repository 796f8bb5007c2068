package explain

import (
	"context"
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// explain answers where the VM would be placed now, and why.
func (q *inquiry) explain(ctx context.Context, now *outcome) (*v1alpha1.PlacementReviewStatus, error) {
	var room []int
	if len(now.fits) == 0 {
		var err error
		if room, err = q.evictable(ctx, now); err != nil {
			return nil, err
		}
	}
	answer, never, err := q.survey(now, room)
	if err != nil {
		return nil, err
	}
	candidates, err := q.candidates(ctx, now)
	if err != nil {
		return nil, err
	}
	if len(now.fits) == 0 {
		if answer.Changes, err = q.changes(ctx, now, room); err != nil {
			return nil, err
		}
	}
	answer.Message = sentence(answer, candidates, never, q.nominated, q.vm.Spec.SchedulingGroup != nil)
	answer.Candidates = candidates[:min(q.limit, len(candidates))]
	return answer, nil
}

// sentence says what the answer is: "fits on 3 of 20 hosts; best is host-7 with
// 512". never is why no host will ever take the VM, or ""; nominated the host on
// which room is being made for it, or ""; member says that it is placed with a
// group.
func sentence(a *v1alpha1.PlacementReviewStatus, candidates []v1alpha1.PlacementCandidate, never, nominated string, member bool) string {
	out := ""
	switch {
	case nominated != "":
		out = "room is being made for it on " + nominated + "; now it "
	case a.NodeName != "":
		out = "is on " + a.NodeName + "; without it there it "
	}
	switch {
	case a.Hosts == 0:
		out += "fits nowhere: there are no hosts"
	case len(candidates) == 0:
		out += fmt.Sprintf("fits on none of %s", hosts(int(a.Hosts)))
		if never != "" {
			out += ": " + never
		}
	default:
		out += fmt.Sprintf("fits on %d of %s", a.Feasible, hosts(int(a.Hosts)))
		out += fmt.Sprintf("; best is %s with %d", best(candidates), candidates[0].Score)
	}
	if member {
		out += "; looked at alone, while its group is placed at once"
	}
	return out
}

// best names the first candidate, and how many others score the same.
func best(candidates []v1alpha1.PlacementCandidate) string {
	equal := 0
	for _, c := range candidates[1:] {
		if c.Score == candidates[0].Score {
			equal++
		}
	}
	if equal == 0 {
		return candidates[0].NodeName
	}
	return fmt.Sprintf("%s or %d more", candidates[0].NodeName, equal)
}
