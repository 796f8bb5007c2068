package explain

import (
	"cmp"
	"fmt"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ranked are hosts by their scores, the best first, and equal ones by name.
func ranked(scores []fwk.NodePluginScores) []v1alpha1.PlacementCandidate {
	out := make([]v1alpha1.PlacementCandidate, 0, len(scores))
	for i := range scores {
		one := v1alpha1.PlacementCandidate{NodeName: scores[i].Name, Score: scores[i].TotalScore}
		for _, s := range scores[i].Scores {
			one.Plugins = append(one.Plugins, v1alpha1.PluginScore{Name: s.Name, Score: s.Score})
		}
		slices.SortFunc(one.Plugins, func(a, b v1alpha1.PluginScore) int { return cmp.Compare(a.Name, b.Name) })
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b v1alpha1.PlacementCandidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.NodeName, b.NodeName))
	})
	return out
}

// sentence says what the answer is: "fits on 3 of 20 hosts; best is host-7 with
// 512". nominated is the host on which room is being made for the VM, or "";
// member says that it is placed with a group.
func sentence(a *v1alpha1.PlacementReviewStatus, candidates []v1alpha1.PlacementCandidate, nominated string, member bool) string {
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

// hosts is a number of hosts in words.
func hosts(n int) string {
	if n == 1 {
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}
