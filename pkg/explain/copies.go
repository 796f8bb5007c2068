package explain

import (
	"context"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// maxCopies is how many VMs are counted on one host at most.
const maxCopies = 1 << 14

// perHost counts, on each host that the VM fits on, how many more do if all of
// them come there.
func (q *inquiry) perHost(ctx context.Context, o *outcome) ([]hostFit, error) {
	out := make([]hostFit, len(o.fits))
	var failed atomic.Pointer[error]
	q.profile.Parallelizer().Until(ctx, len(o.fits), func(n int) {
		node := q.situation.nodes[o.fits[n]]
		count, err := q.count(ctx, o, node)
		if err != nil {
			failed.Store(&err)
		}
		out[n] = hostFit{at: o.fits[n], name: node.Node().Name, count: count}
	}, "explain")
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("counting VMs on all hosts: %w", err)
	}
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return out, nil
}

// count is how many of the VM, which fits on the node, fit there one after
// another. Arithmetic tells how many have room, and the filters judge: they must
// let in the last one and no other. Where they let in fewer, or where room is
// being made for others, they are asked for each one.
func (q *inquiry) count(ctx context.Context, o *outcome, node fwk.NodeInfo) (int64, error) {
	usage, ok := q.fleet.Usage(o.state, node)
	if ok && len(q.promised(o.pod, node.Node().Name)) == 0 {
		room := numa.Room(usage, &o.request, maxCopies)
		c := q.copies(o, node)
		if fits, err := c.upTo(ctx, room-1); err != nil || fits && room == maxCopies {
			return room, err
		} else if fits {
			if fits, err = c.upTo(ctx, room); err != nil || !fits {
				return room, err
			}
		}
	}
	c := q.copies(o, node)
	for n := int64(0); n < maxCopies; n++ {
		if fits, err := c.upTo(ctx, n); err != nil || !fits {
			return n, err
		}
	}
	return maxCopies, nil
}

// copies are more and more of a VM on a copy of one node. They have no placement
// and no reservation, so the node's account has each of them where it would be
// placed beside those before it, which is where binding them in turn would have
// put it.
type copies struct {
	*inquiry
	o     *outcome
	node  fwk.NodeInfo
	state fwk.CycleState
	n     int64
}

func (q *inquiry) copies(o *outcome, node fwk.NodeInfo) *copies {
	return &copies{inquiry: q, o: o, node: node.Snapshot(), state: o.state.Clone()}
}

// upTo says whether one more fits beside n. It is asked with ever larger n.
func (c *copies) upTo(ctx context.Context, n int64) (bool, error) {
	for c.n < n {
		if err := c.add(ctx); err != nil {
			return false, err
		}
	}
	return c.takes(ctx, c.o, c.state, c.node)
}

// add puts one more on the node.
func (c *copies) add(ctx context.Context) error {
	info, err := c.another(c.o.pod, c.node.Node().Name, c.n)
	if err != nil {
		return err
	}
	c.node.AddPodInfo(info)
	c.n++
	if status := c.profile.RunPreFilterExtensionAddPod(ctx, c.state, c.o.pod, info, c.node); !status.IsSuccess() {
		return fmt.Errorf("adding a VM on host %s: %w", c.node.Node().Name, status.AsError())
	}
	return nil
}

// another is the n-th copy of the Pod on a node.
func (q *inquiry) another(pod *corev1.Pod, node string, n int64) (*framework.PodInfo, error) {
	c := *pod
	c.UID = copyUID(node, n)
	c.Name = podless.PodName(string(c.UID), 0)
	c.Spec.NodeName = node
	c.Status = corev1.PodStatus{}
	info, err := framework.NewPodInfo(&c)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.affinity: %w", ErrInvalid, err)
	}
	return info, nil
}

// copyUID is none that the API server gives.
func copyUID(node string, n int64) types.UID {
	return types.UID(fmt.Sprintf("copy-%d-on-%s", n, node))
}
