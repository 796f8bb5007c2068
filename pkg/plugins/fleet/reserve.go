package fleet

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
)

// Reserve chooses where on the host of node the VM lies and holds that until
// Unreserve, or until its Pod is seen to say it itself. It says what is short
// when there is no place any more.
//
// node is of the cycle's snapshot, in which all VMs are that were reserved in
// earlier cycles. Only the members of a group are reserved one after another on
// one snapshot, which does not know of them: what they hold is counted too.
// Nothing else is: a VM that was deleted on its way to the host holds its
// reservation a moment longer than its room.
func (f *Fleet) Reserve(pod *corev1.Pod, r *numa.Request, node fwk.NodeInfo) *numa.Shortage {
	name := node.Node().Name
	host, ok := topology(node, f.host(name))
	if !ok {
		return &numa.Shortage{Reason: "the host has no Hypervisor, or runs no vm-executor"}
	}
	u, counted := numa.NewUsage(&host), map[types.UID]bool{pod.UID: true}
	f.add(u, node, counted)
	if group := groupOf(pod); group != "" {
		for _, info := range node.GetPods() {
			counted[info.GetPod().UID] = true
		}
		for _, p := range f.reservations.of(group, name, counted) {
			// One that cannot be counted was never chosen here.
			_ = u.Add(p)
		}
	}
	a, short := numa.Choose(u, r)
	if short != nil {
		return short
	}
	p := r.Placement(name, a)
	f.reservations.put(pod, &p)
	return nil
}

// Unreserve gives back what Reserve holds for the VM, if anything.
func (f *Fleet) Unreserve(pod *corev1.Pod) { f.reservations.remove(pod.UID) }

// Reserved is what Reserve holds for the VM; nil when there is nothing. It must
// not be changed.
func (f *Fleet) Reserved(pod *corev1.Pod) *v1alpha1.Placement { return f.reservations.get(pod.UID) }

// Reservations counts what is held: when nothing is being bound it falls to 0,
// or something has leaked.
func (f *Fleet) Reservations() int { return f.reservations.len() }
