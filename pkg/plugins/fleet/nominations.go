package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nominations are the UIDs of VMs that took another host than the one where room
// had been made for them. VMs of lower priority were kept off that room, and
// kube-scheduler tells nobody that it is free again (kubernetes/kubernetes
// issue 134859): what it does tell is that the VM was bound.
type nominations struct {
	// promised is the host where room is being made, by UID: the Pod itself says
	// so only once that has been written and seen again.
	promised, givenUp sync.Map
}

func (n *nominations) remove(uid types.UID) {
	n.promised.Delete(uid)
	n.givenUp.Delete(uid)
}

// Promised notes that room is being made for the VM on this host.
func (f *Fleet) Promised(pod *corev1.Pod, node string) { f.nominations.promised.Store(pod.UID, node) }

// PromisedTo is the host where room is being made for the VM, "" when none is
// known.
func (f *Fleet) PromisedTo(pod *corev1.Pod) string {
	if noted, ok := f.nominations.promised.Load(pod.UID); ok {
		return noted.(string)
	}
	return pod.Status.NominatedNodeName
}

// Took notes that the VM takes this host.
func (f *Fleet) Took(pod *corev1.Pod, node string) {
	promised := pod.Status.NominatedNodeName
	if noted, ok := f.nominations.promised.LoadAndDelete(pod.UID); ok {
		promised = noted.(string)
	}
	if promised != "" && promised != node {
		f.nominations.givenUp.Store(pod.UID, true)
	}
}

// GaveUpRoom says whether the VM, which is bound now, left room unused that had
// been made for it on another host.
func (f *Fleet) GaveUpRoom(pod *corev1.Pod) bool {
	_, is := f.nominations.givenUp.Load(pod.UID)
	return is
}
