package explain

import (
	"context"
	"fmt"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
)

// maxChanges keeps an answer readable, and bounds what it takes.
const maxChanges = 8

// change is one thing that could be otherwise.
type change struct {
	// words begin a sentence: "without nodeSelector zone=a".
	words string
	// to changes the VM.
	to func(vm *v1alpha1.VirtualMachine)
}

// changes are what would have to change for a VM to be placed that fits nowhere:
// one thing at a time, each tried by the same plugins. What none of them helps
// against is not in it. room are the indexes of nodes on which eviction would make
// room.
func (q *inquiry) changes(ctx context.Context, now *outcome, room []int) ([]string, error) {
	by := rejectedBy(now)
	var out []string
	if small := by.indexes(hostresources.Name, hostnuma.Name); len(small) > 0 {
		sizes, err := q.smaller(ctx, small)
		if err != nil {
			return nil, err
		}
		out = append(out, sizes...)
	}
	for _, c := range q.alternatives(now, by) {
		if len(out) == maxChanges {
			return out, nil
		}
		vm := q.vm.DeepCopy()
		c.to(vm)
		then, err := q.try(ctx, vm)
		if err != nil {
			return nil, err
		}
		if len(then.fits) > 0 {
			out = append(out, fmt.Sprintf("%s it would fit on %s", c.words, q.names(then.fits)))
		}
	}
	if len(room) > 0 {
		out = append(out, "evicting VMs of lower priority would make room on "+q.names(room))
	}
	return out[:min(len(out), maxChanges)], nil
}

// names are the hosts at some indexes in words: the name of one, or how many.
func (q *inquiry) names(at []int) string {
	if len(at) == 1 {
		return q.situation.nodes[at[0]].Node().Name
	}
	return hosts(len(at))
}

// byPlugin are the indexes of nodes by the plugin that rejected them.
type byPlugin map[string][]int

func rejectedBy(o *outcome) byPlugin {
	out := byPlugin{}
	for i, status := range o.statuses {
		if !status.IsSuccess() {
			out[status.Plugin()] = append(out[status.Plugin()], i)
		}
	}
	return out
}

// has says whether one of the plugins rejected a node.
func (b byPlugin) has(plugins ...string) bool {
	return slices.ContainsFunc(plugins, func(name string) bool { return len(b[name]) > 0 })
}

func (b byPlugin) indexes(plugins ...string) []int {
	var out []int
	for _, name := range plugins {
		out = append(out, b[name]...)
	}
	slices.Sort(out)
	return out
}
