package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmaddress"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
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
func (a *Agent) lookAtProbe(ctx context.Context, vm *v1alpha1.VirtualMachine, in *plan.Situation) {
	var target *probes.Target
	if d := in.Domain; vm.Spec.ReadinessProbe != nil && vm.PlacedOn(in.Node) && d != nil && d.JudgedBy(vm) && (d.State == libvirt.StateRunning || d.State == libvirt.StateShuttingDown) {
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
	if h := plan.HostStatus(vm); h != nil && h.StartedAt != nil {
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

// given are the addresses that plugins gave the guest's cards, by the cards' names;
// without those of which that cannot be told now.
func (c *cniCards) given(ctx context.Context, d *ownership.Observed) map[string][]string {
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
