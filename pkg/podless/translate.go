package podless

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// translator turns what happens to VMs into what happens to projected Pods. It
// remembers the Pod last shown for each VM, and for the growth of those that are
// to grow. Not safe for concurrent use.
type translator struct {
	priorities     Priorities
	shown, growing map[types.NamespacedName]*corev1.Pod
}

func newTranslator(p Priorities) *translator {
	return &translator{priorities: p, shown: map[types.NamespacedName]*corev1.Pod{}, growing: map[types.NamespacedName]*corev1.Pod{}}
}

// all are the Pods shown now.
func (t *translator) all() []corev1.Pod {
	out := make([]corev1.Pod, 0, len(t.shown)+len(t.growing))
	for _, shown := range []map[types.NamespacedName]*corev1.Pod{t.shown, t.growing} {
		for _, pod := range shown {
			out = append(out, *pod)
		}
	}
	return out
}

// apply returns the Pod events for the VM's new state; vm nil means it is gone.
// One change of a VM can be two events: the epoch grew, or the VM was created
// anew under its name, so one Pod ends and another begins. A change that the
// projection does not show is no event: a heartbeat must not wake the queue.
//
// What becomes of the VM's own Pod comes before what becomes of that for its
// growth. When a growth has been granted the one asks for more before the other,
// which holds that until then, is gone: the informer keeps the order of all events,
// and in between the host counts for too much rather than for too little.
func (t *translator) apply(key types.NamespacedName, vm *v1alpha1.VirtualMachine) []watch.Event {
	var pod, growth *corev1.Pod
	if vm != nil {
		priority := t.priority(vm, t.shown[key])
		pod, growth = Project(vm, priority), ProjectGrowth(vm, priority)
	}
	return append(show(t.shown, key, pod), show(t.growing, key, growth)...)
}

// show remembers the Pod that is shown under the key from now on, nil for none, and
// returns what happens by that.
func show(shown map[types.NamespacedName]*corev1.Pod, key types.NamespacedName, pod *corev1.Pod) []watch.Event {
	old := shown[key]
	switch {
	case pod == nil && old == nil:
		return nil
	case pod == nil:
		delete(shown, key)
		return []watch.Event{{Type: watch.Deleted, Object: old}}
	case old == nil:
		shown[key] = pod
		return []watch.Event{{Type: watch.Added, Object: pod}}
	case old.UID != pod.UID, respecified(old, pod):
		shown[key] = pod
		return []watch.Event{{Type: watch.Deleted, Object: old}, {Type: watch.Added, Object: pod}}
	case same(old, pod):
		return nil
	}
	shown[key] = pod
	return []watch.Event{{Type: watch.Modified, Object: pod}}
}

// priority keeps what was resolved before when the class has been deleted: as
// with Pods, that does not demote what exists.
func (t *translator) priority(vm *v1alpha1.VirtualMachine, old *corev1.Pod) Priority {
	if p, ok := t.priorities.Resolve(vm.Spec.PriorityClassName); ok {
		return p
	}
	if old != nil && old.Spec.PriorityClassName == vm.Spec.PriorityClassName {
		return Priority{Value: *old.Spec.Priority, PreemptionPolicy: *old.Spec.PreemptionPolicy}
	}
	return defaultPriority
}

// respecified says whether a VM that waits for a host now asks for something
// else. A Pod's spec is immutable and plugins' queueing hints build on that, so
// such a VM leaves the queue and enters it anew.
func respecified(old, pod *corev1.Pod) bool {
	return old.Spec.NodeName == "" && pod.Spec.NodeName == "" &&
		(!equality.Semantic.DeepEqual(&old.Spec, &pod.Spec) || !maps.Equal(old.Annotations, pod.Annotations))
}

// same says whether the scheduler could tell the two apart.
func same(old, pod *corev1.Pod) bool {
	a, b := old.ObjectMeta, pod.ObjectMeta
	a.ResourceVersion, b.ResourceVersion = "", ""
	return equality.Semantic.DeepEqual(&a, &b) &&
		equality.Semantic.DeepEqual(&old.Spec, &pod.Spec) &&
		equality.Semantic.DeepEqual(&old.Status, &pod.Status)
}
