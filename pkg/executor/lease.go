package executor

import (
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/apimachinery/lease"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// The Lease of a Node, as the kubelet keeps it: renewed every quarter of
	// its duration.
	leaseDuration = 40 * time.Second
	leaseRenewal  = 10 * time.Second
)

// Lease returns what renews the Lease by which the host shows that its executor
// lives. Where there is a kubelet the Lease is the kubelet's, and nil is
// returned.
func (a *Agent) Lease(clientset kubernetes.Interface) lease.Controller {
	if !a.config.RegisterNode {
		return nil
	}
	name := a.config.NodeName
	return lease.NewController(a.clock, clientset, name, int32(leaseDuration.Seconds()), nil, leaseRenewal,
		name, v1alpha1.LeaseNamespace, a.ownLease)
}

// ownLease ties the Lease to the Node, so that it goes with it, and says which machine
// renews it.
func (a *Agent) ownLease(l *coordinationv1.Lease) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.nodeUID != "" {
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: a.config.NodeName, UID: a.nodeUID}}
	}
	if a.machine != "" {
		holder := holderOf(a.config.NodeName, a.machine)
		l.Spec.HolderIdentity = &holder
	}
	return nil
}

// holderOf is who renews the Lease of a host; machineOf has the machine of it, "" where
// none is told.
func holderOf(node, machine string) string { return node + "_" + machine }

func machineOf(holder string) string {
	_, machine, _ := strings.Cut(holder, "_")
	return machine
}
