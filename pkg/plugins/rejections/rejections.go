// Package rejections puts together why the hosts of a fleet turn a VM away: how
// many for each reason, and for what is short the most that there is. It is
// pure; where amounts come from is the caller's.
package rejections

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// Kind is one reason of one plugin.
type Kind struct {
	Plugin, Reason string
	// Final says that evicting the host's VMs would not help.
	Final bool
}

// Group is the hosts that turn the VM away for one reason. A host that gives
// several is in several groups.
type Group struct {
	Kind
	// Promised says that the hosts have what they were said to lack, but for
	// VMs that hold nothing there yet: room is being made for these, or they are
	// of the VM's own group.
	Promised bool
	// Hosts is how many there are.
	Hosts int
	// Nearest is what the host lacks that comes nearest to holding the VM, and
	// On its name; nil where the reason is none of amounts. Of equally near
	// hosts it is the first by name.
	Nearest *numa.Shortage
	On      string
	// Names are the first of the hosts by name, as many as were asked for.
	Names []string
}

// Measure says with amounts what a host lacks that has given the reason; nil
// where that is nothing. It is asked only for reasons of amounts.
type Measure func(host string, kind Kind) *numa.Shortage

// GroupBy puts the hosts' statuses together: the most frequent reasons first, and
// of equally frequent ones the first by plugin and words. The outcome does not
// depend on the order of the statuses. Without measure there are no amounts. Of
// each group up to names hosts are named.
func GroupBy(statuses iter.Seq2[string, *fwk.Status], measure Measure, names int) []Group {
	type key struct {
		Kind
		promised bool
	}
	found := map[key]*Group{}
	for host, status := range statuses {
		for _, kind := range Kinds(status) {
			var short *numa.Shortage
			measured := measure != nil && kind.OfAmounts()
			if measured {
				short = measure(host, kind)
			}
			k := key{kind, measured && short == nil}
			g := found[k]
			if g == nil {
				g = &Group{Kind: kind, Promised: k.promised}
				found[k] = g
			}
			g.Hosts++
			if names > 0 {
				g.Names = append(g.Names, host)
			}
			if short != nil && (g.Nearest == nil || short.Nearer(g.Nearest) || !g.Nearest.Nearer(short) && host < g.On) {
				g.Nearest, g.On = short, host
			}
		}
	}
	out := make([]Group, 0, len(found))
	for _, g := range found {
		slices.Sort(g.Names)
		g.Names = g.Names[:min(names, len(g.Names))]
		out = append(out, *g)
	}
	slices.SortFunc(out, Group.order)
	return out
}

// Insert adds a group where it belongs.
func Insert(groups []Group, g Group) []Group {
	at, _ := slices.BinarySearchFunc(groups, g, Group.order)
	return slices.Insert(groups, at, g)
}

func (g Group) order(o Group) int {
	return cmp.Or(cmp.Compare(o.Hosts, g.Hosts), g.compare(o.Kind), number(g.Promised)-number(o.Promised))
}

// OfAmounts says whether the reason is that there is too little of something.
func (k Kind) OfAmounts() bool { return strings.HasPrefix(k.Reason, lacks) }

// Kinds are the reasons that one host gives.
func Kinds(status *fwk.Status) []Kind {
	reasons := status.Reasons()
	out := make([]Kind, len(reasons))
	for i, reason := range reasons {
		out[i] = Kind{Plugin: status.Plugin(), Reason: reason, Final: status.Code() == fwk.UnschedulableAndUnresolvable}
	}
	return out
}

func (k Kind) compare(o Kind) int {
	return cmp.Or(cmp.Compare(k.Plugin, o.Plugin), cmp.Compare(k.Reason, o.Reason), number(k.Final)-number(o.Final))
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Substance tells apart for which reasons hosts turn the VM away, however many
// hosts there are and however much they have.
func Substance(groups []Group) string {
	kinds := make([]Kind, len(groups))
	for i := range groups {
		kinds[i] = groups[i].Kind
	}
	slices.SortFunc(kinds, Kind.compare)
	var out strings.Builder
	for _, k := range kinds {
		out.WriteString(k.Plugin)
		out.WriteString(": ")
		out.WriteString(k.Reason)
		if k.Final {
			out.WriteString(" (final)")
		}
		out.WriteByte('\n')
	}
	return out.String()
}
