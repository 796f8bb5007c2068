package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmaddress"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/probes"
	"domus.dev/domus/pkg/libvirt"
)

// newProbes makes probes from where the host reaches its guests: the network namespace
// in which it connects them to networks.
func (a *Agent) newProbes() *probes.Keeper {
	prober := probes.Prober{}
	if a.config.CNI != nil {
		prober.Space = a.config.CNI.HostNamespace
	}
	return probes.New(a.config.NodeName, prober, a.clock, a.queue.Add)
}

// lookAtProbe says in the situation what is known of whether the guest serves, and has
// it probed on.
func (a *Agent) lookAtProbe(ctx context.Context, vm *v1alpha1.VirtualMachine, in *Situation) {
	var target *probes.Target
	if d := in.Domain; vm.Spec.ReadinessProbe != nil && vm.PlacedOn(in.Node) && d != nil && d.judgedBy(vm) && (d.State == libvirt.StateRunning || d.State == libvirt.StateShuttingDown) {
		target = probeOf(vm, d.ID, func(name string) *v1alpha1.VirtualNetwork {
			if a.virtualNetworks == nil {
				return nil
			}
			return a.virtualNetworks.Network(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: name})
		}, in.Now)
	}
	in.Probe = a.probes.Observe(client.ObjectKeyFromObject(vm), target, in.Now)
}

// probeOf is what is to be probed of the VM's guest of the life. It is pure.
func probeOf(vm *v1alpha1.VirtualMachine, life int, networks vmaddress.Networks, now time.Time) *probes.Target {
	p := vm.Spec.ReadinessProbe
	t := &probes.Target{Life: life, Started: now, Probe: *p.DeepCopy()}
	if h := hostStatus(vm); h != nil && h.StartedAt != nil {
		t.Started = h.StartedAt.Time
	}
	at, ok := int32(0), false
	switch {
	case p.TCPSocket != nil:
		at, ok = vm.Spec.GuestPortOf(p.TCPSocket.Port)
	case p.HTTPGet != nil:
		at, ok = vm.Spec.GuestPortOf(p.HTTPGet.Port)
	}
	if !ok || at < 1 || at > 65535 {
		t.Problem = "spec.readinessProbe names a port that is not in spec.ports: add it there, or give its number"
		return t
	}
	t.Port = uint16(at)
	address, err := vmaddress.ForProbe(vm, networks, p.InterfaceName)
	if err != nil {
		t.Problem = "the guest cannot be probed: " + err.Error()
		if errors.Is(err, vmaddress.ErrNotYet) {
			t.Problem = fmt.Sprintf("the guest is probed when it has an address: %v", err)
		}
		return t
	}
	t.Address = address.IPs()[0]
	// What goes to a bridge's guests leaves by that bridge, whatever they say of their
	// addresses. A plugin's ways are its own.
	if address.Network.Spec.Type != v1alpha1.NetworkCNI {
		t.Device = address.Network.Bridge()
	}
	return t
}

// markServing says in the status whether the guest serves, where the VM has a probe.
// fresh says that its guest is another one than the status was about. What this process
// has not found out yet stays as it was said.
func markServing(status *v1alpha1.VirtualMachineStatus, in Situation, state v1alpha1.HostState, fresh bool) {
	hasGuest := state == v1alpha1.HostRunning || state == v1alpha1.HostPaused || state == v1alpha1.HostStopping
	if fresh || !hasGuest || in.VM.Spec.ReadinessProbe == nil {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionServing)
	}
	if !hasGuest || in.VM.Spec.ReadinessProbe == nil {
		return
	}
	next := metav1.Condition{
		Type: v1alpha1.ConditionServing, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonProbePending,
		Message:            "spec.readinessProbe has not succeeded yet",
		ObservedGeneration: in.VM.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	}
	before := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionServing)
	switch in.Probe.Verdict {
	case probes.Serves:
		next.Status, next.Reason, next.Message = metav1.ConditionTrue, v1alpha1.ReasonProbeSucceeded, ""
	case probes.Fails:
		next.Reason, next.Message = v1alpha1.ReasonProbeFailed, "spec.readinessProbe: "+in.Probe.Message
	case probes.Unreachable:
		next.Reason, next.Message = v1alpha1.ReasonNoProbeAddress, in.Probe.Message
	default:
		if before != nil && before.Reason != v1alpha1.ReasonNoProbeAddress {
			return
		}
	}
	if before != nil && before.Status == next.Status && before.Reason == next.Reason && before.Message == next.Message {
		return // an edit of something else is no news of this
	}
	meta.SetStatusCondition(&status.Conditions, next)
}

// given are the addresses that plugins gave the guest's cards, by the cards' names;
// without those of which that cannot be told now.
func (c *cniCards) given(ctx context.Context, d *Observed) map[string][]string {
	if d == nil || !d.Owned {
		return nil
	}
	out := map[string][]string{}
	for _, card := range d.Cards {
		name, ours := convert.CardOfAlias(card.Alias)
		if !ours {
			continue
		}
		if c == nil {
			out[name] = nil
			continue
		}
		known, is, err := c.manager.Known(d.Ownership.Owner.UID, name)
		if err != nil {
			klog.FromContext(ctx).Info("What is known of a card could not be read", keyUUID, d.UUID, keyReason, cni.Reason(err), keyError, err.Error())
			continue
		}
		out[name] = nil
		if is && known.Attached && strings.EqualFold(known.Result.MAC, card.MAC) {
			for _, a := range known.Result.Addresses {
				out[name] = append(out[name], a.Addr().String())
			}
		}
	}
	return out
}
