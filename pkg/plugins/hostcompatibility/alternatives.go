package hostcompatibility

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/rejections"
)

const (
	// maxNames and maxDemands keep a message readable.
	maxNames   = 10
	maxDemands = 3
)

// Alternatives says in words which of the VM's demands none of the nodes' hosts
// meets, and what there is instead; "" when a host meets them all, or when no
// host is described yet. The words depend on nothing but what the hosts offer.
// It reads every list of every host, so it is for VMs that no host can take.
func Alternatives(f *fleet.Fleet, pod *corev1.Pod, nodes []fwk.NodeInfo) string {
	d, err := demandsOf(pod)
	if err != nil || len(d.list) == 0 {
		return ""
	}
	var hosts []*v1alpha1.HypervisorStatus
	met := make([]bool, len(d.list))
	for _, node := range nodes {
		hv := f.Hypervisor(node.Node().Name)
		if hv == nil {
			continue
		}
		if d.unmet(&hv.Status) == nil {
			return ""
		}
		hosts = append(hosts, &hv.Status)
		d.mark(met, &hv.Status)
	}
	if len(hosts) == 0 {
		return ""
	}
	var out []string
	for i := range d.list {
		// Where no host runs the kind of guest, none says what that could have.
		if met[i] || d.list[i].ofGuest && d.wantsKind() && !met[0] {
			continue
		}
		out = append(out, d.list[i].none+d.instead(&d.list[i], hosts))
	}
	if len(out) == 0 {
		return d.apart()
	}
	return strings.Join(out[:min(len(out), maxDemands)], ". ")
}

// mark notes which demands the host meets. One that does not run the kind of
// guest says nothing about what the guest could have.
func (d *demands) mark(met []bool, hv *v1alpha1.HypervisorStatus) {
	kind := d.kindOn(hv)
	for i := range d.list {
		if d.list[i].ofGuest && d.wantsKind() && kind == nil {
			continue
		}
		met[i] = met[i] || d.list[i].met(hv, kind)
	}
}

// apart says that each demand is met somewhere, and all of them nowhere.
func (d *demands) apart() string {
	var all []string
	for i := range d.list {
		all = append(all, d.list[i].what)
	}
	if more := len(all) - maxNames; more > 0 {
		all = append(all[:maxNames], fmt.Sprintf("%d more", more))
	}
	return rejections.NoHost + "has all of these at once: " + strings.Join(all, ", ")
}

// instead names what the hosts offer, those spelt most like the wanted first.
func (d *demands) instead(want *demand, hosts []*v1alpha1.HypervisorStatus) string {
	if want.offers == nil {
		return ""
	}
	found := map[string]bool{}
	var last []string
	for _, hv := range hosts {
		list := want.offers(hv, d.kindOn(hv))
		// Hosts mostly are alike.
		if slices.Equal(list, last) {
			continue
		}
		for _, name := range list {
			found[name] = true
		}
		last = list
	}
	if len(found) == 0 {
		return "; there are none"
	}
	// Of names that begin alike the last comes first: that is the newest version
	// of a machine type or CPU model.
	names := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(alike(b, want.name), alike(a, want.name)), cmp.Compare(b, a))
	})
	more := ""
	if n := len(names) - maxNames; n > 0 {
		names, more = names[:maxNames], fmt.Sprintf(" and %d more", n)
	}
	for i := range names {
		names[i] = clip(names[i])
	}
	return "; there are: " + strings.Join(names, ", ") + more
}

// alike is how many bytes two names have in common at their beginning, be they
// upper or lower case.
func alike(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
