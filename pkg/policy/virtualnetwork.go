package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// restrictedNetworks are the types of networks that lead no further than the
// hosts' own addresses, or where somebody else says who may go.
var restrictedNetworks = []v1alpha1.NetworkType{v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated, v1alpha1.NetworkCNI}

// CheckVirtualNetwork checks the spec of a network whose namespace has the level.
// The API server holds it against the same rules, in
// manifests/base/policy/virtualnetwork-spec.yaml; a host does so again, since the
// level may have changed.
func CheckVirtualNetwork(n *v1alpha1.VirtualNetwork, level v1alpha1.PolicyLevel) (errs field.ErrorList) {
	if level == v1alpha1.PolicyPrivileged {
		return nil
	}
	spec := field.NewPath("spec")
	forbid := func(key, why string) {
		errs = append(errs, field.Forbidden(spec.Child(key), "not allowed"+atRestricted+": "+why+remedy))
	}
	if !slices.Contains(restrictedNetworks, n.Spec.Type) {
		forbid("type", string(n.Spec.Type)+" leads into the networks of the hosts; choose nat, isolated or cni, ")
	}
	if n.Spec.Device != "" {
		forbid("device", "")
	}
	if n.Spec.BridgeName != "" {
		forbid("bridgeName", "hosts name the bridge after the network's UID, ")
	}
	if n.Spec.Network != nil {
		forbid("network", "")
	}
	return errs
}
