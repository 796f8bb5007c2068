package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/networks"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
)

// knowsUsers says whether it is known which domains there are, and which VMs are
// bound here.
func (a *Agent) knowsUsers() bool {
	if vms, can := a.vms.(interface{ VMsRead() bool }); can && !vms.VMsRead() {
		return false
	}
	return a.Ready()
}

// NetworkUsers implements networks.Guests. What guests have is told by their domains,
// for a spec may have been edited since they were started.
func (a *Agent) NetworkUsers(ctx context.Context, network types.NamespacedName, libvirtName string) []networks.User {
	var out []networks.User
	for _, d := range a.registry.onNetwork(libvirtName) {
		u := networks.User{VM: "domain " + d.Name, Guest: d.State.Active() || d.Saved || a.registry.isStarting(d.UUID)}
		if d.Owned {
			u.VM = "VirtualMachine " + d.Ownership.Owner.Name
		}
		out = append(out, u)
	}
	if network.Name == "" {
		return out
	}
	for _, key := range a.vms.List(ctx) {
		if key.Namespace != network.Namespace {
			continue
		}
		if vm := a.vms.Get(ctx, key); vm != nil && vm.PlacedOn(a.config.NodeName) && vm.NamesNetwork(network.Name) && !plan.Ended(plan.HostStatus(vm)) {
			out = append(out, networks.User{VM: "VirtualMachine " + vm.Name})
		}
	}
	return out
}

// NetworksNamed implements networks.Guests.
func (a *Agent) NetworksNamed(ctx context.Context) (out []types.NamespacedName) {
	for _, key := range a.vms.List(ctx) {
		vm := a.vms.Get(ctx, key)
		if vm == nil {
			continue
		}
		for i := range vm.Spec.Interfaces {
			name := types.NamespacedName{Namespace: vm.Namespace, Name: vm.Spec.Interfaces[i].NetworkName}
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// onNetwork lists the domains with a card on the libvirt network: those that are
// ours, and of others' those that have a guest.
func (r *registry) onNetwork(name string) (out []ownership.Observed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.domains {
		if (d.Owned || d.State.Active() || d.Saved) && slices.Contains(networksOf(&d), name) {
			out = append(out, d)
		}
	}
	return out
}

// isStarting says whether the domain is started just now.
func (r *registry) isStarting(uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starting[uuid]
}

// networksOf lists the libvirt networks that a domain has cards on.
func networksOf(d *ownership.Observed) (out []string) {
	if d == nil {
		return nil
	}
	for _, c := range d.Cards {
		if c.Network != "" && !slices.Contains(out, c.Network) {
			out = append(out, c.Network)
		}
	}
	return out
}

// networkMoved has the networks looked at that a domain was or is on, where that, or
// whether it has a guest, has changed.
func (a *Agent) networkMoved(before, now *ownership.Observed) {
	was, is := networksOf(before), networksOf(now)
	active := func(d *ownership.Observed) bool { return d != nil && (d.State.Active() || d.Saved) }
	if slices.Equal(was, is) && active(before) == active(now) {
		return
	}
	a.networks.Stir(append(was, is...)...)
}

// levelOf implements networks.Levels.
func (a *Agent) levelOf(ctx context.Context, namespace string) (v1alpha1.PolicyLevel, error) {
	return policyLevel(ctx, a.live, namespace)
}

// networkHeard takes note of a VirtualNetwork that has come, changed or gone. Most of
// the cluster's are nothing to this host.
func (a *Agent) networkHeard(network types.NamespacedName) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	for _, key := range a.vms.List(ctx) {
		if key.Namespace != network.Namespace {
			continue
		}
		if vm := a.vms.Get(ctx, key); vm != nil && vm.NamesNetwork(network.Name) {
			a.networks.Enqueue(network)
			a.queue.Add(client.ObjectKeyFromObject(vm))
		}
	}
	a.networks.EnqueueKnown(network)
}

// networkChanged gives turns to the VMs here that name the network.
func (a *Agent) networkChanged(network types.NamespacedName) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	for _, key := range a.vms.List(ctx) {
		if key.Namespace != network.Namespace {
			continue
		}
		if vm := a.vms.Get(ctx, key); vm != nil && vm.NamesNetwork(network.Name) {
			a.queue.Add(client.ObjectKeyFromObject(vm))
		}
	}
}

// lookAtNetworks says in the situation whether the VM can have its cards.
func (a *Agent) lookAtNetworks(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	a.namedNetworks(w, vm)
	if len(vm.Spec.Interfaces) == 0 {
		return nil
	}
	var err error
	if in.Networks, err = a.networks.Gate(ctx, vm); err != nil {
		return err
	}
	switch {
	case len(in.Networks.Waiting) == 0:
		w.memory.NetworksSince = time.Time{}
	case w.memory.NetworksSince.IsZero():
		w.memory.NetworksSince = in.Now
	}
	return nil
}

// namedNetworks has the networks looked at that the VM has come to name, or names no
// more.
func (a *Agent) namedNetworks(w *work, vm *v1alpha1.VirtualMachine) {
	var names []string
	for i := range vm.Spec.Interfaces {
		names = append(names, vm.Spec.Interfaces[i].NetworkName)
	}
	if slices.Equal(names, w.networks) {
		return
	}
	for _, name := range append(slices.Clone(names), w.networks...) {
		a.networks.Enqueue(types.NamespacedName{Namespace: vm.Namespace, Name: name})
	}
	w.networks = names
}

// errNetworkMoves says that a network is being stopped just now.
func errNetworkMoves(vm *v1alpha1.VirtualMachine) error {
	return fmt.Errorf("giving VirtualMachine %s/%s its cards: a network of it is being stopped", vm.Namespace, vm.Name)
}
