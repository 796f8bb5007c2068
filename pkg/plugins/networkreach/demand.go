package networkreach

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// demand is what the networks of one VM ask of hosts. It is not changed once made.
type demand struct{ networks []*network }

// any says whether any host will do.
func (d *demand) any() bool {
	return !slices.ContainsFunc(d.networks, func(n *network) bool {
		return !n.need.Any() || len(n.Spec.NodeSelector) > 0 || len(n.subnets) > 0
	})
}

// demandOf is what the VM's networks ask of hosts, or why none can be asked yet; mu is
// held for reading.
func (n *Networks) demandOf(pod types.UID, vm podless.Identity, cards []podless.Interface) (*demand, string) {
	out := &demand{}
	for i, card := range cards {
		known := n.networks[key(vm.Namespace, card.Network)]
		switch {
		case known == nil:
			return nil, fmt.Sprintf("there is no VirtualNetwork %s in namespace %s: create it, or leave it out of spec.interfaces", card.Network, vm.Namespace)
		case known.DeletionTimestamp != nil:
			return nil, fmt.Sprintf("VirtualNetwork %s is being deleted: leave it out of spec.interfaces, or create another one when it is gone", card.Network)
		case slices.ContainsFunc(cards[:i], func(c podless.Interface) bool { return c.MAC == card.MAC }):
			return nil, fmt.Sprintf("two of its cards have the address %s: give card %s of spec.interfaces another macAddress", card.MAC, card.Name)
		}
		if why := n.other(pod, vm, card); why != "" {
			return nil, why
		}
		if slices.Contains(out.networks, known) {
			continue
		}
		for _, before := range out.networks {
			if overlap(before.subnets, known.subnets) {
				return nil, fmt.Sprintf("its VirtualNetworks %s and %s have a subnet in common, and no host can have both: change spec.subnets of one of them", before.Name, known.Name)
			}
		}
		out.networks = append(out.networks, known)
	}
	return out, ""
}

// other says which other VM has the card's address; empty when none has.
func (n *Networks) other(pod types.UID, vm podless.Identity, card podless.Interface) string {
	for _, h := range n.macs[card.MAC] {
		if h.pod == pod || h.vm.UID == vm.UID {
			continue
		}
		whose := "another namespace's VirtualMachine"
		if h.vm.Namespace == vm.Namespace {
			whose = "VirtualMachine " + h.vm.Name
		}
		return fmt.Sprintf("the address %s of its card %s is that of a card of %s: give it another macAddress in spec.interfaces, or none", card.MAC, card.Name, whose)
	}
	return ""
}

// taken says which address of the VM's another one has by now; mu is held.
func (n *Networks) taken(pod *corev1.Pod, cards []podless.Interface) string {
	vm, _ := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	for _, card := range cards {
		if why := n.other(pod.UID, vm, card); why != "" {
			return why
		}
	}
	return ""
}

// lacks says what the host does not have of the demand; nil when it has it all. mu is
// held for reading.
func (n *Networks) lacks(d *demand, hv *v1alpha1.Hypervisor, labels map[string]string) []string {
	for _, wanted := range d.networks {
		for name, value := range wanted.Spec.NodeSelector {
			if has, is := labels[name]; !is || has != value {
				return wanted.notSelected
			}
		}
		if words := wanted.need.Lacks(&hv.Status); words != nil {
			return words
		}
		if len(wanted.subnets) == 0 {
			continue
		}
		for i := range hv.Status.Networks {
			other := &hv.Status.Networks[i]
			if other.UID == string(wanted.UID) {
				continue
			}
			if known := n.networks[key(other.Namespace, other.Name)]; known != nil && string(known.UID) == other.UID && overlap(known.subnets, wanted.subnets) {
				return wanted.overlaps
			}
		}
	}
	return nil
}

func overlap(a, b []netip.Prefix) bool {
	for _, p := range a {
		for _, q := range b {
			if p.Overlaps(q) {
				return true
			}
		}
	}
	return false
}
