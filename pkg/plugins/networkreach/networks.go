package networkreach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/reach"
	"domus.dev/domus/pkg/plugins/inorder"
	"domus.dev/domus/pkg/podless"
)

// Resource is how the scheduler's queue knows VirtualNetworks.
const Resource fwk.EventResource = "virtualnetworks.v1alpha1.domus.dev"

// virtualNetworks is Resource as informer factories know it.
var virtualNetworks = schema.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "virtualnetworks"}

// ErrNotSynced says that the VirtualNetworks have not all been read yet; as an error
// it has a VM tried again soon.
var ErrNotSynced = errors.New("the VirtualNetworks have not been read yet")

// Networks are the VirtualNetworks as the scheduler sees them, with the addresses of
// the cards of VMs that have a host, or are being bound to one. All profiles share
// one. It is safe for concurrent use.
type Networks struct {
	follower *inorder.Follower
	pods     sync.Once

	mu       sync.RWMutex
	networks map[types.NamespacedName]*network
	// holders are the VMs that have addresses, by their Pods' UIDs, and macs whose they
	// are.
	holders map[types.UID]*holder
	macs    map[string][]*holder
}

// network is a VirtualNetwork with what is compared with hosts.
type network struct {
	*v1alpha1.VirtualNetwork
	need reach.Need
	// subnets are on a bridge of each host, where no other network may have them.
	subnets []netip.Prefix
	// the words for hosts that the selector leaves out, and on which another network
	// has a subnet of this.
	notSelected, overlaps []string
}

type holder struct {
	vm    podless.Identity
	pod   types.UID
	macs  []string
	text  string
	bound bool
}

// New returns Networks for the VirtualNetworks of an informer. They are none before
// Follow, which the scheduler's queue calls through Factory.
func New(networks inorder.Informer) *Networks {
	return &Networks{
		follower: inorder.NewFollower(networks, "VirtualNetworks"),
		networks: map[types.NamespacedName]*network{}, holders: map[types.UID]*holder{}, macs: map[string][]*holder{},
	}
}

// Factory is next, but that the scheduler's queue hears of VirtualNetworks from the
// informer that Networks follow, each time after them.
func (n *Networks) Factory(next dynamicinformer.DynamicSharedInformerFactory) dynamicinformer.DynamicSharedInformerFactory {
	return inorder.Factory(next, virtualNetworks, n.Follow)
}

// Follow begins to follow the VirtualNetworks, and calls then after each that has
// been taken over.
func (n *Networks) Follow(then cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	saw := func(obj any) {
		if vn, ok := obj.(*v1alpha1.VirtualNetwork); ok {
			n.See(vn)
		}
	}
	return n.follower.Follow(cache.ResourceEventHandlerFuncs{AddFunc: saw, UpdateFunc: func(_, obj any) { saw(obj) }, DeleteFunc: n.lost}, then)
}

// Synced says whether all VirtualNetworks have been read.
func (n *Networks) Synced() bool { return n.follower.Synced() }

// See takes over a VirtualNetwork, which must not be changed afterwards.
func (n *Networks) See(vn *v1alpha1.VirtualNetwork) {
	known := describe(vn)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.networks[key(vn.Namespace, vn.Name)] = known
}

func describe(vn *v1alpha1.VirtualNetwork) *network {
	out := &network{VirtualNetwork: vn, need: reach.Of(vn)}
	if vn.MakesBridge() {
		for _, s := range vn.Spec.Subnets {
			if p, err := netip.ParsePrefix(s.Address); err == nil {
				out.subnets = append(out.subnets, p.Masked())
			}
		}
	}
	out.notSelected = []string{fmt.Sprintf("host(s) do not have the labels of nodeSelector of VirtualNetwork %s", vn.Name)}
	out.overlaps = []string{fmt.Sprintf("host(s) have another VirtualNetwork with a subnet of VirtualNetwork %s", vn.Name)}
	return out
}

func (n *Networks) lost(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	vn, ok := obj.(*v1alpha1.VirtualNetwork)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.networks[key(vn.Namespace, vn.Name)]; known != nil && known.UID == vn.UID {
		delete(n.networks, key(vn.Namespace, vn.Name))
	}
}

// FollowVMs learns the addresses of the cards of VMs that have a host. Calling it
// again, as each profile does, changes nothing.
func (n *Networks) FollowVMs(pods inorder.Informer) (err error) {
	n.pods.Do(func() {
		saw := func(obj any) {
			if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" && podless.IsProjected(pod.Name) {
				n.bound(pod)
			}
		}
		_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: saw, UpdateFunc: func(_, obj any) { saw(obj) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				if pod, ok := obj.(*corev1.Pod); ok {
					n.mu.Lock()
					defer n.mu.Unlock()
					n.give(pod.UID)
				}
			},
		})
	})
	if err != nil {
		return fmt.Errorf("watching VirtualMachines: %w", err)
	}
	return nil
}

// bound takes over the cards of a VM that has a host, which may have come to have
// others.
func (n *Networks) bound(pod *corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.holders[pod.UID]
	text := podless.InterfacesTextOf(pod)
	if held == nil && text == "" || held != nil && held.bound && held.text == text {
		return
	}
	n.give(pod.UID)
	// What cannot be read as cards has none: annotations have written it.
	if cards, err := podless.InterfacesOf(pod); err == nil && len(cards) > 0 {
		n.take(pod, cards, true)
	}
}

// take gives the VM its addresses; mu is held.
func (n *Networks) take(pod *corev1.Pod, cards []podless.Interface, bound bool) {
	n.give(pod.UID)
	vm, _ := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	h := &holder{vm: vm, pod: pod.UID, text: podless.InterfacesTextOf(pod), bound: bound}
	n.holders[pod.UID] = h
	for _, c := range cards {
		h.macs = append(h.macs, c.MAC)
		n.macs[c.MAC] = append(n.macs[c.MAC], h)
	}
}

// give takes them back; mu is held.
func (n *Networks) give(pod types.UID) {
	h := n.holders[pod]
	if h == nil {
		return
	}
	delete(n.holders, pod)
	for _, mac := range h.macs {
		left := slices.DeleteFunc(n.macs[mac], func(o *holder) bool { return o == h })
		if n.macs[mac] = left; len(left) == 0 {
			delete(n.macs, mac)
		}
	}
}

// Holder is another VM than the one of the UID that has a host and a card of the
// address; false when there is none.
func (n *Networks) Holder(mac string, than types.UID) (namespace, name string, ok bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, h := range n.macs[mac] {
		if h.vm.UID != than {
			return h.vm.Namespace, h.vm.Name, true
		}
	}
	return "", "", false
}

// Held counts the VMs whose addresses are being given to them: when nothing is being
// bound it falls to 0, or something has leaked.
func (n *Networks) Held() (out int) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, h := range n.holders {
		if !h.bound {
			out++
		}
	}
	return out
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}
