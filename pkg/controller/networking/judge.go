package networking

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// maxHosts is the bound in the API's schema, and maxNamed how many VMs or hosts a
// message names.
const (
	maxHosts = 16
	maxNamed = 3
)

// judge writes what hosts and VMs make of the network's status. It is pure.
func judge(status *v1alpha1.VirtualNetworkStatus, n *v1alpha1.VirtualNetwork, hosts []v1alpha1.NetworkOnHost, users []string, why doubt, now time.Time) {
	status.ObservedGeneration = n.Generation
	status.HostCount = int32(len(hosts))
	var wrong []string
	for _, h := range hosts {
		if h.Message != "" {
			wrong = append(wrong, h.NodeName)
		}
	}
	// Those where something is wrong come first.
	slices.SortFunc(hosts, func(a, b v1alpha1.NetworkOnHost) int {
		return cmp.Or(-cmp.Compare(min(len(a.Message), 1), min(len(b.Message), 1)), cmp.Compare(a.NodeName, b.NodeName))
	})
	slices.Sort(users)
	status.Hosts = hosts[:min(len(hosts), maxHosts)]
	c := metav1.Condition{
		Type: v1alpha1.ConditionNetworkReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNetworkReady,
		ObservedGeneration: n.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
	switch {
	case n.DeletionTimestamp != nil && len(users) > 0:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonInUse
		c.Message = "it is deleted when no VirtualMachine with a host has a card on it: leave it out of spec.interfaces of " + some(users)
	case n.DeletionTimestamp != nil:
		var names []string
		for _, h := range hosts {
			names = append(names, h.NodeName)
		}
		slices.Sort(names)
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonInUse
		c.Message = "it is deleted when it is gone from its hosts: " + some(names)
		if len(wrong) > 0 {
			c.Message += ": " + hosts[0].Message
		}
	case why.reason != "":
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, why.reason, why.message
	case len(wrong) > 0:
		slices.Sort(wrong)
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonHostFailed
		c.Message = fmt.Sprintf("%s: %s", some(wrong), hosts[0].Message)
	case len(hosts) == 0 && n.Spec.Type == v1alpha1.NetworkCNI:
		// Hosts do not report cards of CNI as networks of theirs.
		c.Reason = v1alpha1.ReasonNotNeeded
		c.Message = "hosts connect each card by itself: those whose Hypervisor has the configuration in status.cniNetworks, or its plugins in status.cniPlugins"
	case len(hosts) == 0:
		c.Reason = v1alpha1.ReasonNotNeeded
		c.Message = "hosts make it when a VirtualMachine with a card on it comes to them"
	}
	meta.SetStatusCondition(&status.Conditions, c)
}

// some names a few of the names.
func some(names []string) string {
	out := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if more := len(names) - maxNamed; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// Named lists the VirtualNetworks that a host has, or a VM names, as namespace/name.
func Named(o client.Object) (out []string) {
	add := func(namespace, name string) {
		if text := namespace + "/" + name; !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	switch o := o.(type) {
	case *v1alpha1.Hypervisor:
		for i := range o.Status.Networks {
			add(o.Status.Networks[i].Namespace, o.Status.Networks[i].Name)
		}
	case *v1alpha1.VirtualMachine:
		for i := range o.Spec.Interfaces {
			add(o.Namespace, o.Spec.Interfaces[i].NetworkName)
		}
	}
	return out
}

func parse(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}
