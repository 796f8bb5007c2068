package networks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/reach"
	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/policy"
)

// hostPoll is how often the host's interfaces are looked at: nobody tells of them.
const hostPoll = 30 * time.Second

// followHost looks at the host's interfaces, and at all networks, when asked to and
// from time to time.
func (k *Keeper) followHost(ctx context.Context) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 5, Cap: hostPoll}
	again, asked := backoff, true
	for {
		pause := wait.Jitter(hostPoll, 0.2)
		if err := k.lookAtHost(ctx, asked); err != nil {
			pause = again.Step()
			if ctx.Err() == nil {
				klog.FromContext(ctx).V(2).Info("The host's networks could not be looked at", keyError, err.Error())
			}
		} else {
			again, asked = backoff, false
		}
		select {
		case <-ctx.Done():
			return
		case <-k.looking:
			asked = true
		case <-k.Clock.After(pause):
		}
	}
}

// LookNow has all that is asked for of the host looked at, as Run does after Look.
func (k *Keeper) LookNow(ctx context.Context) error { return k.lookAtHost(ctx, true) }

var errNotReady = errors.New("what runs on the host is not known yet")

func (k *Keeper) lookAtHost(ctx context.Context, asked bool) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if !k.Ready() {
		return errNotReady
	}
	interfaces, err := k.Host.HostInterfaces(ctx)
	if err != nil {
		return err
	}
	k.forgetListing()
	all, err := k.list(ctx)
	if err != nil {
		return err
	}
	now := describe(interfaces, all, k.OVSBridges)
	named := k.Guests.NetworksNamed(ctx)
	k.mu.Lock()
	summary := summaryOf(all)
	changed := !slices.Equal(k.host.Interfaces, now)
	first := !k.looked || asked
	others := k.summary != summary
	k.host.Interfaces, k.looked, k.summary = now, true, summary
	if !changed && !first && !others {
		k.mu.Unlock()
		return nil
	}
	cluster := k.cluster
	keys := map[types.NamespacedName]bool{}
	for key := range k.states {
		keys[key] = true
	}
	k.mu.Unlock()
	for _, key := range named {
		keys[key] = true
	}
	for i := range all {
		if mark, ours := ParseMark(all[i].Metadata); ours && mark.Cluster == cluster {
			keys[mark.Network] = true
		}
	}
	for key := range keys {
		k.queue.Add(key)
	}
	if changed || first {
		k.Reported()
	}
	return nil
}

// listingHolds is how long a listing of libvirt's networks does, unless something is
// heard of them, or done: many turns come together.
const listingHolds = 2 * time.Second

// list is what libvirt has.
func (k *Keeper) list(ctx context.Context) ([]libvirt.Network, error) {
	k.mu.Lock()
	if k.listed != nil && k.Clock.Since(k.listedAt) < listingHolds {
		defer k.mu.Unlock()
		return k.listed, nil
	}
	at := k.Clock.Now()
	k.listedAt = at
	k.mu.Unlock()
	all, err := k.Host.Networks(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.listedAt.Equal(at) {
		k.listed = all
		if all == nil {
			k.listed = []libvirt.Network{}
		}
	}
	return all, nil
}

// forgetListing has the networks listed anew.
func (k *Keeper) forgetListing() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed, k.listedAt = nil, time.Time{}
}

// NetworkMoved says that something happened to the network of that libvirt name.
func (k *Keeper) NetworkMoved(libvirtName string) {
	k.forgetListing()
	k.Stir(libvirtName)
}

func summaryOf(all []libvirt.Network) string {
	var out strings.Builder
	for i := range all {
		fmt.Fprintf(&out, "%s %t %s\n", all[i].Name, all[i].Active, all[i].UUID)
	}
	return out.String()
}

// made begin the names of interfaces that libvirt or others make for guests and
// containers, and that no network leads to.
var made = []string{"vnet", "macvtap", "veth", "tap", v1alpha1.BridgePrefix}

// maxInterfaces is the bound in the API's schema.
const maxInterfaces = 64

// describe lists the host's interfaces that networks can lead to: bridges that
// libvirt's networks made are left out.
func describe(interfaces []libvirt.HostInterface, all []libvirt.Network, ovs []string) (out []v1alpha1.HostInterface) {
	own := map[string]bool{}
	for i := range all {
		if makes(all[i].XML) {
			own[all[i].Bridge] = true
		}
	}
	for _, in := range interfaces {
		if own[in.Name] || slices.ContainsFunc(made, func(prefix string) bool { return strings.HasPrefix(in.Name, prefix) }) && !slices.Contains(ovs, in.Name) {
			continue
		}
		kind := v1alpha1.InterfaceDevice
		switch {
		case slices.Contains(ovs, in.Name):
			kind = v1alpha1.InterfaceOVSBridge
		case in.Bridge:
			kind = v1alpha1.InterfaceBridge
		}
		if len(out) < maxInterfaces {
			out = append(out, v1alpha1.HostInterface{Name: in.Name, Type: kind})
		}
	}
	return out
}

// makes says whether libvirt makes the bridge of such a network.
func makes(text string) bool {
	var d libvirtxml.Network
	if d.Unmarshal(text) != nil || d.Bridge == nil {
		return false
	}
	return d.Forward == nil || d.Forward.Mode != "bridge"
}

// situations looks at the VirtualNetwork, and at what the host has of it and of
// others that had its name before, by their UIDs.
func (k *Keeper) situations(ctx context.Context, key types.NamespacedName, memory *Memory) (map[types.UID]Situation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	network := k.Networks.Network(ctx, key)
	if network == nil {
		// The watch may not have it yet: nothing is taken for gone by that.
		var err error
		if network, err = k.read(ctx, key); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	cluster, host := k.cluster, k.host
	k.mu.Unlock()
	out := map[types.UID]Situation{}
	all, err := k.list(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		mark, ours := ParseMark(all[i].Metadata)
		if !ours || mark.Cluster != cluster || mark.Network != key || mark.libvirtName() != all[i].Name {
			continue
		}
		f := &Found{Network: all[i], Mark: mark}
		if f.Hosts, err = hostsIn(f.XML); err != nil {
			return nil, err
		}
		var defined libvirtxml.Network
		if f.Network.Defined != "" && defined.Unmarshal(f.Network.Defined) == nil && defined.Metadata != nil {
			if then, ours := ParseMark(defined.Metadata.XML); ours {
				f.Defined = then.Print
			}
		}
		out[mark.UID] = Situation{Found: f, Users: k.Guests.NetworkUsers(ctx, types.NamespacedName{}, f.Name), Now: k.Clock.Now(), Memory: *memory}
	}
	if network == nil || network.Spec.Type == v1alpha1.NetworkCNI {
		return out, nil
	}
	in := out[network.UID]
	in.Network, in.Now, in.Memory = network, k.Clock.Now(), *memory
	in.Users = k.Guests.NetworkUsers(ctx, key, network.LibvirtName())
	if len(in.Users) == 0 {
		if in.Found != nil {
			out[network.UID] = in
		}
		return out, nil
	}
	level, err := k.Levels(ctx, network.Namespace)
	if err != nil {
		return nil, err
	}
	if errs := policy.CheckVirtualNetwork(network, level); len(errs) > 0 {
		in.Refused = errs.ToAggregate().Error()
	}
	need := reach.Of(network)
	if lacks := need.Lacks(&host); lacks != nil {
		in.Lacks = strings.Replace(lacks[0], "host(s) have", "host "+k.Node+" has", 1)
	}
	want, err := Define(network, cluster, &host)
	if err != nil && in.Refused == "" {
		in.Refused = fmt.Sprintf("libvirt can have no such network: %v", err)
	}
	in.Want = &want
	out[network.UID] = in
	return out, nil
}
