package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// refusal is one reason for which one host was rejected.
type refusal struct {
	// node is the host's name.
	node string
	// plugin rejected it.
	plugin string
	// reason names nothing of one host, so that equal reasons can be counted.
	reason string
	// evictable says that the reason may go when VMs do.
	evictable bool
	// amount says how much there is; nil where it is not a matter of amounts.
	amount *amount
}

// amount is what a host has of what it lacks.
type amount struct {
	// share is the part that it has of what is needed, from 0 to 1.
	share float64
	// words say both amounts.
	words string
}

// rejections counts refusals by plugin and reason: the most frequent first, with
// the names of up to limit hosts. Where amounts are known they are the words, as
// they are on the host that comes nearest.
func rejections(all []refusal, limit int) []v1alpha1.PlacementRejection {
	type key struct {
		plugin, reason string
		evictable      bool
	}
	groups := map[key][]refusal{}
	for _, r := range all {
		k := key{r.plugin, r.reason, r.evictable}
		groups[k] = append(groups[k], r)
	}
	var out []v1alpha1.PlacementRejection
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.plugin, b.plugin), cmp.Compare(a.reason, b.reason))
	}) {
		group := groups[k]
		slices.SortFunc(group, func(a, b refusal) int { return cmp.Compare(a.node, b.node) })
		one := v1alpha1.PlacementRejection{
			Plugin: k.plugin, Reason: inAmounts(k.reason, group), Hosts: int32(len(group)), Evictable: k.evictable,
		}
		for _, r := range group[:min(limit, len(group))] {
			one.NodeNames = append(one.NodeNames, r.node)
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.PlacementRejection) int { return cmp.Compare(b.Hosts, a.Hosts) })
	return out
}

// inAmounts is the reason in the words of the host in the group that comes
// nearest, the first of several; the reason itself where no amounts are known.
func inAmounts(reason string, group []refusal) string {
	var best *refusal
	for i := range group {
		if r := &group[i]; r.amount != nil && (best == nil || r.amount.share > best.amount.share) {
			best = r
		}
	}
	switch {
	case best == nil:
		return reason
	case len(group) == 1:
		return best.amount.words
	}
	return fmt.Sprintf("%s; %s comes nearest", best.amount.words, best.node)
}
