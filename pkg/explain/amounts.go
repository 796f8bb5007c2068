package explain

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
)

// refusals are the reasons for which nodes were rejected.
func (q *inquiry) refusals(o *outcome) []refusal {
	var out []refusal
	for i, status := range o.statuses {
		if status.IsSuccess() {
			continue
		}
		node := q.situation.nodes[i]
		reasons := status.Reasons()
		if len(reasons) == 0 {
			reasons = []string{"no reason given"}
		}
		amounts := q.amounts(o, node, status)
		for n, reason := range reasons {
			r := refusal{node: node.Node().Name, plugin: status.Plugin(), reason: reason, evictable: status.Code() == fwk.Unschedulable}
			if n < len(amounts) {
				r.amount = &amounts[n]
			}
			out = append(out, r)
		}
	}
	return out
}

// amounts say how much the node has of what it lacks, for each of the status's
// reasons; nil where the reasons are not about amounts.
func (q *inquiry) amounts(o *outcome, node fwk.NodeInfo, status *fwk.Status) []amount {
	if by := status.Plugin(); by != hostresources.Name && by != hostnuma.Name {
		return nil
	}
	empty := status.Code() == fwk.UnschedulableAndUnresolvable
	usage, ok := q.fleet.Empty(o.state, node)
	if !empty {
		usage, ok = q.fleet.Usage(o.state, q.withPromised(o, node))
	}
	if !ok {
		return nil
	}
	if status.Plugin() == hostresources.Name {
		if short := capacity.Shortages(usage.Free(), o.request.Totals()); len(short) > 0 {
			return totalsAmounts(short, empty)
		}
	}
	_, short := numa.Choose(usage, &o.request)
	if short == nil || short.Reason != "" {
		return nil
	}
	return []amount{{share: share(short.Largest, short.Need), words: whenEmpty(short.String(), empty)}}
}

// withPromised is the node with the VMs on it that go before the asked one.
func (q *inquiry) withPromised(o *outcome, node fwk.NodeInfo) fwk.NodeInfo {
	promised := q.promised(o.pod, node.Node().Name)
	if len(promised) == 0 {
		return node
	}
	node = node.Snapshot()
	for _, info := range promised {
		node.AddPodInfo(info)
	}
	return node
}

// totalsAmounts are those of a host's totals, in the order in which HostResources
// gives its reasons.
func totalsAmounts(short []capacity.Shortage, empty bool) []amount {
	var out []amount
	for _, s := range short {
		words := numa.Shortage{Resource: s.Resource, Need: s.Need, Largest: s.Free}
		out = append(out, amount{share: share(s.Free, s.Need), words: whenEmpty(words.String(), empty)})
	}
	return out
}

func whenEmpty(words string, empty bool) string {
	if empty {
		return words + " even when the host is empty"
	}
	return words
}

func share(have, need int64) float64 { return float64(max(have, 0)) / float64(max(need, 1)) }
