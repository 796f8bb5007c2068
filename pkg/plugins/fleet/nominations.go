package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// nominations are the UIDs of VMs that took another host than the one where room
// had been made for them. VMs of lower priority were kept off that room, and
// kube-scheduler tells nobody that it is free again (kubernetes/kubernetes
// issue 134859): what it does tell is that the VM was bound.
type nominations struct{ givenUp sync.Map }

// Took notes that the VM takes this host.
func (f *Fleet) Took(pod *corev1.Pod, node string) {
	if n := pod.Status.NominatedNodeName; n != "" && n != node {
		f.nominations.givenUp.Store(pod.UID, true)
	}
}

// GaveUpRoom says whether the VM, which is bound now, left room unused that had
// been made for it on another host.
func (f *Fleet) GaveUpRoom(pod *corev1.Pod) bool {
	_, is := f.nominations.givenUp.Load(pod.UID)
	return is
}
