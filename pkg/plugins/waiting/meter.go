package waiting

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/podless"
)

// ofCapacity says whether a host gave this reason because it has too little.
func ofCapacity(k rejections.Kind) bool {
	return (k.Plugin == hostresources.Name || k.Plugin == hostnuma.Name) && k.OfAmounts()
}

// meter looks up what hosts lack for one VM, after the cycle in which they said
// so in words alone: most of these words are never written.
type meter struct {
	fleet   *fleet.Fleet
	request numa.Request
	hosts   fwk.NodeInfoLister
	// reasons are the words for a lack, which many hosts have in common.
	reasons map[numa.Lack]string
	// empty is what hosts lack even when empty; see whenEmpty.
	empty map[string]*numa.Shortage
}

func newMeter(f *fleet.Fleet, pod *corev1.Pod, hosts fwk.NodeInfoLister) (*meter, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, err
	}
	return &meter{fleet: f, request: request, hosts: hosts, reasons: map[numa.Lack]string{}, empty: map[string]*numa.Shortage{}}, nil
}

// of is a rejections.Measure. It is nil for a host that is said to lack what is
// there: in its cycle the scheduler counts VMs that room is being made for, and
// the VM's own group, which are not on the host now.
func (m *meter) of(host string, kind rejections.Kind) *numa.Shortage {
	usage := m.usage(host, kind.Final)
	if usage == nil || !ofCapacity(kind) {
		return &numa.Shortage{Reason: kind.Reason}
	}
	if kind.Plugin == hostnuma.Name {
		_, short := numa.Choose(usage, &m.request)
		return short
	}
	for _, short := range numa.ShortagesOfTotals(usage, &m.request) {
		if m.reason(short) == kind.Reason {
			return short
		}
	}
	return nil
}

// whenEmpty puts what a host lacks even when empty in place of what it lacks
// now.
func (m *meter) whenEmpty(statuses iter.Seq2[string, *fwk.Status]) iter.Seq2[string, *fwk.Status] {
	return func(yield func(string, *fwk.Status) bool) {
		for host, status := range statuses {
			if kinds := rejections.Kinds(status); len(kinds) > 0 && ofCapacity(kinds[0]) {
				if usage := m.usage(host, true); usage != nil {
					if _, short := numa.Choose(usage, &m.request); short != nil {
						m.empty[host] = short
						status = fwk.NewStatus(fwk.UnschedulableAndUnresolvable, m.reason(short)).WithPlugin(hostnuma.Name)
					}
				}
			}
			if !yield(host, status) {
				return
			}
		}
	}
}

// ofEmpty is a rejections.Measure for what whenEmpty has put in place.
func (m *meter) ofEmpty(host string, kind rejections.Kind) *numa.Shortage {
	if short := m.empty[host]; short != nil {
		return short
	}
	return m.of(host, kind)
}

func (m *meter) usage(host string, empty bool) *numa.Usage {
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

func (m *meter) reason(short *numa.Shortage) string {
	lack := short.Lack()
	words, known := m.reasons[lack]
	if !known {
		words = lack.Reason(&m.request)
		m.reasons[lack] = words
	}
	return words
}
