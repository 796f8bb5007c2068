package services

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmaddress"
)

// member is a VM that a Service leads to.
type member struct {
	vm      *v1alpha1.VirtualMachine
	address vmaddress.Address
	// serving says that the guest runs and that its probe, if it has one, succeeds.
	serving bool
	// terminating says that the guest is about to end for good.
	terminating bool
	// silent says that nobody has heard of the guest's host for a while, so that
	// serving is what was known last.
	silent bool
	// since is when serving last changed.
	since metav1.Time
}

// hasGuest says whether the VM has a guest that could have an address, as its host
// says of its present binding.
func hasGuest(vm *v1alpha1.VirtualMachine) bool {
	h := vm.Status.Host
	if vm.Status.Placement == nil || h == nil || h.Epoch != vm.Status.Epoch {
		return false
	}
	return slices.Contains([]v1alpha1.HostState{v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping}, h.State)
}

// newMember judges a VM that has a guest.
func newMember(vm *v1alpha1.VirtualMachine, address vmaddress.Address) member {
	m := member{vm: vm, address: address}
	m.terminating = vm.DeletionTimestamp != nil || vm.Status.Eviction != nil || vm.Spec.PowerState == v1alpha1.PowerStopped
	decisive := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionReady)
	// A guest that shuts down may serve what it has begun, as a Pod that terminates.
	m.serving = vm.Status.Host.State == v1alpha1.HostRunning || vm.Status.Host.State == v1alpha1.HostStopping && m.terminating
	if vm.Spec.ReadinessProbe != nil {
		decisive = meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionServing)
		m.serving = m.serving && decisive != nil && decisive.Status == metav1.ConditionTrue
	}
	if decisive != nil {
		m.since = decisive.LastTransitionTime
	}
	reach := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionHostReachable)
	m.silent = reach != nil && reach.Status == metav1.ConditionFalse && reach.Reason == v1alpha1.ReasonHostUnreachable
	return m
}

// doubt counts members on silent hosts as not serving, as Kubernetes counts Pods on
// silent nodes; but only where that leaves one that is ready. A silent host's guests
// run on as a rule, and what was known of them last is better than nothing at all.
func doubt(members []member) {
	heard := slices.ContainsFunc(members, func(m member) bool { return m.serving && !m.terminating && !m.silent })
	for i := range members {
		if members[i].silent && heard {
			members[i].serving = false
		}
	}
}

// pod shows the member as a Pod of the Service, for the library.
func (m member) pod(s *corev1.Service) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: m.vm.Namespace, Name: m.vm.Name, UID: m.vm.UID}}
	if m.terminating {
		p.DeletionTimestamp = &metav1.Time{}
	}
	p.Spec.NodeName = m.vm.Status.Placement.NodeName
	// In DNS a member of a headless Service is called after its VM, where such a name
	// can be had.
	if s.Spec.ClusterIP == corev1.ClusterIPNone && len(validation.IsDNS1123Label(m.vm.Name)) == 0 {
		p.Spec.Hostname, p.Spec.Subdomain = m.vm.Name, s.Name
	}
	ports := corev1.Container{}
	for _, g := range m.vm.Spec.Ports {
		protocol := g.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		ports.Ports = append(ports.Ports, corev1.ContainerPort{Name: g.Name, Protocol: protocol, ContainerPort: g.Port})
	}
	p.Spec.Containers = []corev1.Container{ports}
	for _, ip := range m.address.IPs() {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: m.since}
	if m.serving {
		ready.Status = corev1.ConditionTrue
	}
	p.Status.Conditions = []corev1.PodCondition{ready}
	return p
}

// alike says whether the two are the same to every Service: most of what is written
// of a VM is no concern of any.
func alike(a, b *v1alpha1.VirtualMachine) bool {
	judged := func(vm *v1alpha1.VirtualMachine) member {
		if !hasGuest(vm) {
			return member{}
		}
		m := newMember(vm, vmaddress.Address{})
		m.vm = nil
		return m
	}
	return hasGuest(a) == hasGuest(b) && judged(a) == judged(b) && nodeOf(a) == nodeOf(b) && a.UID == b.UID &&
		equality.Semantic.DeepEqual(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.Spec.Ports, b.Spec.Ports) &&
		equality.Semantic.DeepEqual(a.Spec.Interfaces, b.Spec.Interfaces) &&
		equality.Semantic.DeepEqual(a.Status.Interfaces, b.Status.Interfaces)
}

func nodeOf(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Placement == nil {
		return ""
	}
	return vm.Status.Placement.NodeName
}
