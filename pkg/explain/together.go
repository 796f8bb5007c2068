package explain

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/plugins/hostheadroom"
)

const (
	// maxTogether is how many VMs are placed one by one at most, and
	// togetherTime how long that may take.
	maxTogether  = 1000
	togetherTime = 2 * time.Second
)

// among says whether what one host takes depends on the VMs of this kind on
// others: by the VM's own rules, or since room is kept for restarts. That a group
// starts together is no such rule: all that fit may be its members.
func (q *inquiry) among(o *outcome) bool {
	spec := &q.vm.Spec
	if a := spec.Affinity; a != nil {
		if a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 ||
			a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
			return true
		}
	}
	for _, c := range spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			return true
		}
	}
	for _, p := range q.profile.ListPlugins().Filter.Enabled {
		if p.Name == hostheadroom.Name && !o.state.GetSkipFilterPlugins().Has(p.Name) {
			return true
		}
	}
	return false
}

// together counts how many fit at once, by placing them one after another, each
// with what the plugins say of those before it: on the host where the one before
// is or the next one in order that takes it, since to score all hosts each time
// would take long. It ends when none takes one more, or with as many as are
// counted in time.
func (q *inquiry) together(ctx context.Context) (total, error) {
	within, cancel := context.WithTimeout(ctx, togetherTime)
	defer cancel()
	var out total
	next := 0
	on, were := map[int]*copies{}, map[int]fwk.NodeInfo{}
	defer func() {
		for at, node := range were {
			q.situation.put(at, node)
		}
	}()
	for out.count < maxTogether {
		at, o, err := q.first(within, next)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			out.atLeast = true
			return out, nil
		case err != nil:
			return total{}, err
		case at < 0:
			return out, nil
		}
		c := on[at]
		if c == nil {
			were[at] = q.situation.nodes[at]
			c = q.copies(o, were[at])
			on[at] = c
		}
		c.o, c.state = o, o.state
		if err := c.add(ctx); err != nil {
			return total{}, err
		}
		q.situation.put(at, c.node)
		out.count, next = out.count+1, at
	}
	out.atLeast = true
	return out, nil
}

// first is the index of the first node that takes the VM, in their order from
// next on and around; -1 when none does.
func (q *inquiry) first(ctx context.Context, next int) (int, *outcome, error) {
	o, rejected, err := q.begin(ctx, q.project(q.vm))
	if err != nil || rejected != nil {
		return -1, o, err
	}
	for k := range q.situation.nodes {
		if err := ctx.Err(); err != nil {
			return -1, nil, fmt.Errorf("placing VMs one by one: %w", err)
		}
		at := (next + k) % len(q.situation.nodes)
		taken, err := q.takes(ctx, o, o.state, q.situation.nodes[at])
		switch {
		case err != nil:
			return -1, nil, err
		case taken:
			return at, o, nil
		}
	}
	return -1, o, nil
}
