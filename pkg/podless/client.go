package podless

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Writer writes on VirtualMachines what the scheduler says of projected Pods.
type Writer interface {
	// Pending says why the VM waits (scheduled may be nil) and for which host
	// room is being made ("" for none).
	Pending(ctx context.Context, vm Identity, scheduled *metav1.Condition, nominatedNodeName string) error
	// GrowthPending says why the VM does not grow yet to what its spec of the
	// condition's generation asks for.
	GrowthPending(ctx context.Context, vm Identity, pending *metav1.Condition) error
	// Evict asks the VM's host to stop the guest and give its slot back.
	Evict(ctx context.Context, vm Identity, reason, message string) error
}

// client is the scheduler's client. Its writes on projected Pods become writes
// on VirtualMachines; it refuses every write on a real Pod.
type client struct {
	kubernetes.Interface
	core coreV1
}

// newClient wraps real. pods lists the projected Pods, said has the words with
// which they wait.
func newClient(real kubernetes.Interface, pods corelisters.PodLister, w Writer, said *sayings) *client {
	return &client{Interface: real, core: coreV1{CoreV1Interface: real.CoreV1(), projected: pods, writer: w, said: said}}
}

// CoreV1 implements kubernetes.Interface.
func (c *client) CoreV1() typedcorev1.CoreV1Interface { return &c.core }

type coreV1 struct {
	typedcorev1.CoreV1Interface
	projected corelisters.PodLister
	writer    Writer
	said      *sayings
}

// Pods implements typedcorev1.PodsGetter.
func (c *coreV1) Pods(namespace string) typedcorev1.PodInterface {
	return &pods{PodInterface: c.CoreV1Interface.Pods(namespace), core: c, namespace: namespace}
}

// pods reads real Pods through the interface it embeds and overrides each of
// its writes.
type pods struct {
	typedcorev1.PodInterface
	core      *coreV1
	namespace string
}

// identify returns the projected Pod named name and what it stands for.
func (p *pods) identify(name string) (*corev1.Pod, Identity, error) {
	if !IsProjected(name) {
		return nil, Identity{}, fmt.Errorf("pod %s/%s: %w", p.namespace, name, ErrRealPod)
	}
	pod, err := p.core.projected.Pods(p.namespace).Get(name)
	if err != nil {
		// The epoch has ended or the VM is gone: to the scheduler the Pod is.
		return nil, Identity{}, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	id, ok := ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		id, _, ok = ParseGrowth(pod.Namespace, pod.Name, pod.UID)
	}
	if !ok {
		return nil, Identity{}, fmt.Errorf("projected pod %s/%s has UID %q: %w", p.namespace, name, pod.UID, ErrUnsupportedWrite)
	}
	return pod, id, nil
}

// Patch takes the scheduler's one patch: of a Pod's status.
func (p *pods) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, _ metav1.PatchOptions, subresources ...string) (*corev1.Pod, error) {
	pod, id, err := p.identify(name)
	if err != nil {
		if marksVictim(data) {
			err = victimGone(err)
		}
		return nil, err
	}
	if pt != types.StrategicMergePatchType || len(subresources) != 1 || subresources[0] != "status" {
		return nil, fmt.Errorf("patching %s of pod %s/%s by %s: %w", subresources, p.namespace, name, pt, ErrUnsupportedWrite)
	}
	patched, err := patchStatus(pod, data)
	if err != nil {
		return nil, err
	}
	// A victim is first marked as a disruption target and then deleted. The
	// eviction, written on deletion, says both.
	if hasCondition(&patched.Status, corev1.DisruptionTarget) && !hasCondition(&pod.Status, corev1.DisruptionTarget) {
		return patched, nil
	}
	growth := IsGrowth(name)
	var scheduled *metav1.Condition
	for i := range patched.Status.Conditions {
		if c := &patched.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			if c = p.core.said.put(pod, c); c != nil {
				vm := vmCondition(c)
				if growth {
					vm = growthCondition(c, pod.Generation)
				}
				scheduled = &vm
			}
		}
	}
	if scheduled == nil && patched.Status.NominatedNodeName == pod.Status.NominatedNodeName {
		// What the VM says still holds. The Pod stays as it is shown, and nothing
		// wakes the scheduler.
		return pod, nil
	}
	if growth {
		// No room is made for it: there is nothing but its condition.
		if scheduled == nil {
			return pod, nil
		}
		err = p.core.writer.GrowthPending(ctx, id, scheduled)
	} else {
		err = p.core.writer.Pending(ctx, id, scheduled, patched.Status.NominatedNodeName)
	}
	if err != nil {
		if scheduled != nil {
			p.core.said.lost(pod.UID)
		}
		return nil, err
	}
	return patched, nil
}

// Delete asks for the eviction of a VM. It never deletes the VM. What a VM is to
// have more is nobody's victim.
func (p *pods) Delete(ctx context.Context, name string, _ metav1.DeleteOptions) error {
	if IsGrowth(name) {
		return p.refuse("deleting", name)
	}
	_, id, err := p.identify(name)
	if err != nil {
		return victimGone(err)
	}
	return victimGone(p.core.writer.Evict(ctx, id, "Preempted", "evicted to make room for a VirtualMachine of higher priority"))
}

// marksVictim says whether a patch is the mark that a Pod gets before it is
// deleted for another.
func marksVictim(patch []byte) bool {
	return bytes.Contains(patch, []byte(`"`+string(corev1.DisruptionTarget)+`"`))
}

// victimGone is ErrVictimGone for NotFound, and any other error as it is.
func victimGone(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrVictimGone, err.Error())
	}
	return err
}

// Bind is refused: VMs are bound by their own bind plugin.
func (p *pods) Bind(_ context.Context, b *corev1.Binding, _ metav1.CreateOptions) error {
	return p.refuse("binding", b.Name)
}

// Create refuses.
func (p *pods) Create(_ context.Context, pod *corev1.Pod, _ metav1.CreateOptions) (*corev1.Pod, error) {
	return nil, p.refuse("creating", pod.Name)
}

// Update refuses.
func (p *pods) Update(_ context.Context, pod *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return nil, p.refuse("updating", pod.Name)
}

// UpdateStatus refuses.
func (p *pods) UpdateStatus(_ context.Context, pod *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return nil, p.refuse("updating the status of", pod.Name)
}

// UpdateEphemeralContainers refuses.
func (p *pods) UpdateEphemeralContainers(_ context.Context, name string, _ *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return nil, p.refuse("updating", name)
}

// UpdateResize refuses.
func (p *pods) UpdateResize(_ context.Context, name string, _ *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return nil, p.refuse("resizing", name)
}

// DeleteCollection refuses.
func (p *pods) DeleteCollection(context.Context, metav1.DeleteOptions, metav1.ListOptions) error {
	return p.refuse("deleting all of", "")
}

// Apply refuses.
func (p *pods) Apply(_ context.Context, pod *applycorev1.PodApplyConfiguration, _ metav1.ApplyOptions) (*corev1.Pod, error) {
	return nil, p.refuse("applying", nameOf(pod))
}

// ApplyStatus refuses.
func (p *pods) ApplyStatus(_ context.Context, pod *applycorev1.PodApplyConfiguration, _ metav1.ApplyOptions) (*corev1.Pod, error) {
	return nil, p.refuse("applying the status of", nameOf(pod))
}

// Evict refuses.
func (p *pods) Evict(_ context.Context, e *policyv1beta1.Eviction) error {
	return p.refuse("evicting", e.Name)
}

// EvictV1 refuses.
func (p *pods) EvictV1(_ context.Context, e *policyv1.Eviction) error {
	return p.refuse("evicting", e.Name)
}

// EvictV1beta1 refuses.
func (p *pods) EvictV1beta1(_ context.Context, e *policyv1beta1.Eviction) error {
	return p.refuse("evicting", e.Name)
}

func (p *pods) refuse(doing, name string) error {
	reason := ErrRealPod
	if IsProjected(name) {
		reason = ErrUnsupportedWrite
	}
	return fmt.Errorf("%s pod %s/%s: %w", doing, p.namespace, name, reason)
}

func nameOf(pod *applycorev1.PodApplyConfiguration) string {
	if pod == nil || pod.GetName() == nil {
		return ""
	}
	return *pod.GetName()
}

func hasCondition(s *corev1.PodStatus, t corev1.PodConditionType) bool {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t && s.Conditions[i].Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// patchStatus returns a copy of pod with a strategic merge patch of its status
// applied, as the API server would.
func patchStatus(pod *corev1.Pod, data []byte) (*corev1.Pod, error) {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, fmt.Errorf("encoding projected pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, data, corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("patching projected pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	var patched corev1.Pod
	if err := json.Unmarshal(after, &patched); err != nil {
		return nil, fmt.Errorf("decoding projected pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	out := *pod
	out.Status = patched.Status
	return &out, nil
}
