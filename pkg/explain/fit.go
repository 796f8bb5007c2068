package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fit answers how many more of the VM fit, and how large the largest may be.
func (q *inquiry) fit(ctx context.Context, now *outcome) (*v1alpha1.PlacementReviewStatus, error) {
	answer, _, err := q.survey(now, nil)
	if err != nil {
		return nil, err
	}
	onHosts, err := q.perHost(ctx, now)
	if err != nil {
		return nil, err
	}
	total := sum(onHosts)
	if q.among(now) {
		if total, err = q.together(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(onHosts, func(a, b hostFit) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name))
	})
	listed := onHosts[:min(q.limit, len(onHosts))]
	sizes, err := q.largest(ctx, now, listed)
	if err != nil {
		return nil, err
	}
	answer.Fit = &v1alpha1.PlacementFitStatus{Count: total.count, AtLeast: total.atLeast, Largest: sizes.ofFleet}
	for i, h := range listed {
		answer.Fit.Hosts = append(answer.Fit.Hosts, v1alpha1.PlacementHostFit{NodeName: h.name, Count: h.count, Largest: sizes.ofHosts[i]})
	}
	answer.Message = fitSentence(answer.Fit, int(answer.Feasible), int(answer.Hosts))
	return answer, nil
}

// hostFit is how many more fit on the node at an index.
type hostFit struct {
	at    int
	name  string
	count int64
}

// total is how many more fit on all hosts; at least so many where counting ended.
type total struct {
	count   int64
	atLeast bool
}

func sum(all []hostFit) total {
	var out total
	for _, h := range all {
		out.count += h.count
		out.atLeast = out.atLeast || h.count >= maxCopies
	}
	return out
}

// fitSentence says what the answer is: "12 more fit on 3 of 20 hosts; the largest
// that fits has 16 vCPUs and 32Gi of memory".
func fitSentence(f *v1alpha1.PlacementFitStatus, feasible, all int) string {
	out := fmt.Sprintf("%d more", f.Count)
	if f.AtLeast {
		out = "at least " + out
	}
	switch f.Count {
	case 0:
		out = fmt.Sprintf("no more fit on any of %s", hosts(all))
	case 1:
		out += fmt.Sprintf(" fits on %d of %s", feasible, hosts(all))
	default:
		out += fmt.Sprintf(" fit on %d of %s", feasible, hosts(all))
	}
	if f.Largest == nil {
		return out + "; not even the smallest VM of this shape fits"
	}
	return out + fmt.Sprintf("; the largest of this shape that fits has %s and %s of memory", vcpus(int64(f.Largest.CPU)), exactly(f.Largest.Memory))
}
