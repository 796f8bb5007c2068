// Package shortages looks up, in a Fleet's accounts, how much hosts have of what
// they were said to lack for a VM.
package shortages

import (
	"iter"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/rejections"
)

// OfCapacity says whether a host gave this reason because it has too little: a
// Meter knows amounts for these.
func OfCapacity(k rejections.Kind) bool {
	return (k.Plugin == hostresources.Name || k.Plugin == hostnuma.Name) && k.OfAmounts()
}

// Meter looks up what hosts lack for one VM, after they have said so in words
// alone: most of these words are never written. It is for one goroutine.
type Meter struct {
	fleet   *fleet.Fleet
	request numa.Request
	hosts   fwk.NodeInfoLister
	// reasons are the words for a lack, which many hosts have in common.
	reasons map[numa.Lack]string
}

// New returns a Meter for a VM that asks for request, of hosts as f counts them.
func New(f *fleet.Fleet, request numa.Request, hosts fwk.NodeInfoLister) *Meter {
	return &Meter{fleet: f, request: request, hosts: hosts, reasons: map[numa.Lack]string{}}
}

// Of is a rejections.Measure. It is nil for a host that is said to lack what is
// there: the scheduler counts VMs that room is being made for, and the VM's own
// group, which are not on the host now.
func (m *Meter) Of(host string, kind rejections.Kind) *numa.Shortage {
	usage := m.usage(host, kind.Final)
	if usage == nil || !OfCapacity(kind) {
		return &numa.Shortage{Reason: kind.Reason}
	}
	if kind.Plugin == hostnuma.Name {
		_, short := numa.Choose(usage, &m.request)
		return short
	}
	for _, short := range numa.ShortagesOfTotals(usage, &m.request) {
		if m.reason(short.Lack()) == kind.Reason {
			return short
		}
	}
	return nil
}

// WhenEmpty puts what a host lacks even when empty in place of what it lacks
// now. For a VM that no host could hold it is no matter which of them are full.
func (m *Meter) WhenEmpty(statuses iter.Seq2[string, *fwk.Status]) iter.Seq2[string, *fwk.Status] {
	return func(yield func(string, *fwk.Status) bool) {
		for host, status := range statuses {
			if status.Code() == fwk.Unschedulable && ofCapacity(status) {
				if empty := m.whenEmpty(host); empty != nil {
					status = empty
				}
			}
			if !yield(host, status) {
				return
			}
		}
	}
}

func ofCapacity(status *fwk.Status) bool {
	kinds := rejections.Kinds(status)
	return len(kinds) > 0 && OfCapacity(kinds[0])
}

// whenEmpty is what the plugins would say of the host without its VMs; nil where
// it would take the VM.
func (m *Meter) whenEmpty(host string) *fwk.Status {
	usage := m.usage(host, true)
	if usage == nil {
		return nil
	}
	plugin, lacks := hostresources.Name, numa.LacksOfTotals(usage, &m.request)
	if len(lacks.All()) == 0 {
		lack, lacking := numa.Lacks(usage, &m.request)
		if !lacking {
			return nil
		}
		plugin, lacks = hostnuma.Name, numa.OneLack(lack)
	}
	var reasons []string
	for _, lack := range lacks.All() {
		reasons = append(reasons, m.reason(lack))
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reasons...).WithPlugin(plugin)
}

func (m *Meter) usage(host string, empty bool) *numa.Usage {
	node, err := m.hosts.Get(host)
	if err != nil {
		return nil
	}
	look := m.fleet.Usage
	if empty {
		look = m.fleet.Empty
	}
	usage, ok := look(nil, node)
	if !ok {
		return nil
	}
	return usage
}

func (m *Meter) reason(lack numa.Lack) string {
	words, known := m.reasons[lack]
	if !known {
		words = lack.Reason(&m.request)
		m.reasons[lack] = words
	}
	return words
}
