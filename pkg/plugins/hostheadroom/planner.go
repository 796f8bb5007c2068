package hostheadroom

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// planner keeps, from one scheduling cycle to the next, a plan for each failure:
// on which other hosts its VMs would be restarted. A cycle changes one host or
// none, so most of a plan stays. Profiles share it.
//
// It is changed by update and replan only, which the scheduler's one scheduling
// goroutine calls; Filter and Score, which run in parallel within a cycle, read.
type planner struct {
	topologyKey string
	hosts       map[string]*host
	failures    map[string]*failure
	// sights are the nodes of the last snapshot, order the hosts among them.
	sights []sight
	order  []*host
	// spare are the hosts with claims, the first to have got one first. All
	// failures share them, so that few hosts are kept free.
	spare []*host
	// homeless counts the VMs in no claim.
	homeless int
	// version counts updates that found something changed; replanned is that of
	// the last replan, round that of the last that looked at all failures.
	version, replanned, round uint64
	// lastOpen is where in order the last VM was welcome.
	lastOpen int

	neediest  neediest
	described described

	// Of the update that is running: failures whose homeless VMs are to be tried
	// everywhere, hosts that offer more than before, hosts whose claims have
	// become fewer, and VMs that need not be tried on hosts that are not spare,
	// or on any.
	dirty            []*failure
	grown, fewer     []*host
	outside, nowhere misses
}

// sight is a node as it was last seen. The snapshot keeps a NodeInfo's address,
// and changes its generation with its contents.
type sight struct {
	info       fwk.NodeInfo
	generation int64
	// host is nil for a Node that is none, or not yet.
	host *host
}

func newPlanner(topologyKey string) *planner {
	return &planner{topologyKey: topologyKey, hosts: map[string]*host{}, failures: map[string]*failure{}}
}

// update brings the plan up to what the nodes are now. usage is false for a
// Node that is no host. It asks it for all nodes if all is set, and
// otherwise for those that have changed.
func (p *planner) update(nodes []fwk.NodeInfo, all bool, usage func(fwk.NodeInfo) (*numa.Usage, bool)) {
	p.dirty, p.grown, p.fewer = p.dirty[:0], p.grown[:0], p.fewer[:0]
	p.outside, p.nowhere = p.outside[:0], p.nowhere[:0]
	changed, others := false, len(nodes) != len(p.sights)
	if others {
		p.sights = append(p.sights[:0], make([]sight, len(nodes))...)
	}
	look := func(s *sight) {
		u, ok := usage(s.info)
		if was := s.host; !ok {
			s.host, others = nil, others || was != nil
			return
		}
		if s.host == nil {
			s.host, others = p.known(s.info.Node().Name), true
		}
		if s.host.usage != u {
			p.refresh(s.host, s.info, u)
			changed = true
		}
	}
	for i, node := range nodes {
		s := &p.sights[i]
		if s.info != node {
			*s, others = sight{info: node}, true
		} else if !all && s.generation == node.GetGeneration() {
			continue
		}
		s.generation = node.GetGeneration()
		look(s)
	}
	if names := p.described.take(); len(names) > 0 {
		for i := range p.sights {
			if s := &p.sights[i]; names[s.info.Node().Name] {
				look(s)
			}
		}
	}
	if others {
		p.reorder()
	}
	if changed || others {
		p.version++
		p.settle()
	}
}

// known is the host of the name.
func (p *planner) known(name string) *host {
	h := p.hosts[name]
	if h == nil {
		h = &host{name: name}
		p.hosts[name] = h
	}
	return h
}

// reorder follows a snapshot of other nodes, and forgets hosts that are gone.
func (p *planner) reorder() {
	p.order, p.lastOpen = p.order[:0], 0
	there := make(map[*host]bool, len(p.sights))
	for i := range p.sights {
		if h := p.sights[i].host; h != nil {
			p.order = append(p.order, h)
			there[h] = true
		}
	}
	for _, h := range p.hosts {
		if !there[h] {
			p.remove(h)
		}
	}
}
