package networks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Reasons of events.
const (
	eventMade    = "NetworkMade"
	eventRemoved = "NetworkRemoved"
	eventFailed  = "NetworkFailed"
)

// carryOut does what was decided; false when that failed, which memory tells then.
func (k *Keeper) carryOut(ctx context.Context, key types.NamespacedName, in *Situation, decision Decision, memory *Memory) bool {
	if len(decision.Steps) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	name := nameOf(in)
	if slices.Contains(decision.Steps, StepStop) {
		if !k.close(name) || k.taken(ctx, key, in, name) {
			k.open(name)
			memory.note(in.aim(), "a guest is being given a card on it", false, k.Clock.Now())
			return false
		}
		defer k.open(name)
	}
	defer k.forgetListing()
	for _, step := range decision.Steps {
		klog.FromContext(ctx).V(2).Info("Carrying out a step", keyStep, step)
		err := k.do(ctx, step, name, in)
		if err == nil {
			continue
		}
		klog.FromContext(ctx).Info("A step failed", keyStep, step, keyError, err.Error())
		memory.note(in.aim(), failure(step, k.Node, err), errors.Is(err, libvirt.ErrNetworkBusy) || errors.Is(err, libvirt.ErrUnsupported), k.Clock.Now())
		if in.Network != nil && memory.Failures == 1 {
			k.Recorder.Eventf(in.Network, nil, corev1.EventTypeWarning, eventFailed, string(step), "%s", memory.Message)
		}
		return false
	}
	*memory = Memory{}
	if in.Network != nil {
		switch {
		case slices.Contains(decision.Steps, StepUndefine):
			k.Recorder.Eventf(in.Network, nil, corev1.EventTypeNormal, eventRemoved, "Remove", "Host %s needs it no more and has removed it", k.Node)
		case slices.Contains(decision.Steps, StepStart):
			k.Recorder.Eventf(in.Network, nil, corev1.EventTypeNormal, eventMade, "Make", "Host %s has it as %s", k.Node, name)
		}
	}
	return true
}

func nameOf(in *Situation) string {
	if in.Found != nil {
		return in.Found.Name
	}
	return in.Network.LibvirtName()
}

// failure says to a person that a step failed, with the remedy.
func failure(step Step, node string, err error) string {
	cause := err.Error()
	var own *libvirt.Error
	if errors.As(err, &own) && own.Message != "" {
		cause = own.Message
	}
	doing := map[Step]string{
		StepDefine: "defining", StepStart: "starting", StepStop: "stopping", StepUndefine: "removing", StepSetHosts: "changing the addresses of",
	}[step]
	remedy := ""
	if errors.Is(err, libvirt.ErrNetworkBusy) {
		remedy = ": choose other subnets or another bridgeName, or keep it off the host with nodeSelector"
	}
	return fmt.Sprintf("%s it on host %s failed and is tried again: %s%s", doing, node, cause, remedy)
}

func (k *Keeper) do(ctx context.Context, step Step, name string, in *Situation) error {
	switch step {
	case StepDefine:
		return k.Host.DefineNetwork(ctx, in.Want.XML)
	case StepStart:
		err := k.Host.StartNetwork(ctx, name)
		if err == nil || errors.Is(err, libvirt.ErrUnavailable) || k.clean(ctx, name, in) != nil {
			return err
		}
		return k.Host.StartNetwork(ctx, name)
	case StepStop:
		return k.Host.StopNetwork(ctx, name)
	case StepUndefine:
		if err := k.clean(ctx, name, in); err != nil {
			klog.FromContext(ctx).Info("What may be left of a network could not be looked for", keyError, err.Error())
		}
		return k.Host.UndefineNetwork(ctx, name)
	case StepSetHosts:
		return k.setHosts(ctx, name, in)
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

// clean removes what is left of a start that libvirtd's end cut short: of a network
// that is not active, and of a bridge that is named after it, and so is nobody
// else's.
func (k *Keeper) clean(ctx context.Context, name string, in *Situation) error {
	network := in.Network
	if network == nil {
		network = &v1alpha1.VirtualNetwork{}
		network.UID, network.Spec.Type = in.Found.Mark.UID, v1alpha1.NetworkIsolated
	}
	bridge := network.Bridge()
	if k.Leftovers == nil || !network.MakesBridge() || network.Spec.BridgeName != "" || in.Found != nil && in.Found.Bridge != "" && in.Found.Bridge != bridge {
		return nil
	}
	k.forgetListing()
	all, err := k.Host.Networks(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(n libvirt.Network) bool { return n.Active && (n.Name == name || n.Bridge == bridge) }) {
		return nil
	}
	return k.Leftovers.Clean(ctx, name, bridge)
}

// setHosts takes away what is not wanted before it adds what is: one card has one
// address.
func (k *Keeper) setHosts(ctx context.Context, name string, in *Situation) error {
	for _, h := range in.Found.Hosts {
		if !slices.Contains(in.Want.Hosts, h) {
			if err := k.Host.SetDHCPHost(ctx, name, h.Subnet, h.Element, true); err != nil {
				return err
			}
		}
	}
	for _, h := range in.Want.Hosts {
		if !slices.Contains(in.Found.Hosts, h) {
			if err := k.Host.SetDHCPHost(ctx, name, h.Subnet, h.Element, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// close says that the network is being stopped; false while a guest is being given
// a card on it.
func (k *Keeper) close(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[name] > 0 {
		return false
	}
	k.closing[name] = true
	return true
}

func (k *Keeper) open(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.closing, name)
}

// taken says whether somebody has come to need the network since it was looked at.
func (k *Keeper) taken(ctx context.Context, key types.NamespacedName, in *Situation, name string) bool {
	if in.Network == nil {
		key = types.NamespacedName{}
	}
	users := k.Guests.NetworkUsers(ctx, key, name)
	if len(in.Users) == 0 && len(users) > 0 {
		return true
	}
	return slices.ContainsFunc(users, func(u User) bool { return u.Guest })
}
