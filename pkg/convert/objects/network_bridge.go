package objects

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// networkBridge is <bridge>. Of a bridge that libvirt makes, it prints that the
// spanning tree protocol is on, without delay: that is left out.
var networkBridge = networkConcern{
	lift: func(doc *libvirtxml.Network, n *v1alpha1.VirtualNetwork) {
		b := doc.Bridge
		if b == nil {
			return
		}
		n.Spec.BridgeName, b.Name = b.Name, ""
		if makesBridge(n.Spec.Type) && b.STP == "on" && b.Delay == "0" {
			b.STP, b.Delay = "", ""
		}
		if *b == (libvirtxml.NetworkBridge{}) {
			doc.Bridge = nil
		}
	},
	lower: func(n *v1alpha1.VirtualNetwork, doc *libvirtxml.Network) field.ErrorList {
		if n.Spec.BridgeName == "" {
			return nil
		}
		if doc.Bridge == nil {
			doc.Bridge = &libvirtxml.NetworkBridge{}
		}
		b := doc.Bridge
		if makesBridge(n.Spec.Type) && b.STP == "" && b.Delay == "" {
			b.STP, b.Delay = "on", "0"
		}
		return lowerText(n.Spec.BridgeName, &b.Name, networkPath.Child("bridge", "name"), "spec.bridgeName")
	},
}

// makesBridge says whether libvirt makes the bridge of such a network.
func makesBridge(t v1alpha1.NetworkType) bool {
	return t == v1alpha1.NetworkNAT || t == v1alpha1.NetworkIsolated || t == v1alpha1.NetworkRouted
}

// networkVLAN is <vlan>, where no tag says more than its number.
var networkVLAN = networkConcern{
	lift: func(doc *libvirtxml.Network, n *v1alpha1.VirtualNetwork) {
		v := doc.VLAN
		if v == nil || len(v.Tags) == 0 || v.Trunk != "" && v.Trunk != "yes" {
			return
		}
		out := v1alpha1.NetworkVLAN{Trunk: v.Trunk == "yes"}
		for _, tag := range v.Tags {
			if tag.NativeMode != "" || tag.ID > maxVLAN {
				return
			}
			out.IDs = append(out.IDs, int32(tag.ID))
		}
		n.Spec.VLAN, doc.VLAN = &out, nil
	},
	lower: func(n *v1alpha1.VirtualNetwork, doc *libvirtxml.Network) field.ErrorList {
		from := n.Spec.VLAN
		if from == nil {
			return nil
		}
		if doc.VLAN != nil {
			return field.ErrorList{givenTwice(networkPath.Child("vlan"), field.OmitValueType{}, "spec.vlan")}
		}
		doc.VLAN = &libvirtxml.NetworkVLAN{}
		if from.Trunk {
			doc.VLAN.Trunk = "yes"
		}
		for i, id := range from.IDs {
			if id < 0 || id > maxVLAN {
				return field.ErrorList{field.Invalid(field.NewPath("spec", "vlan", "ids").Index(i), id, "must be between 0 and 4095")}
			}
			doc.VLAN.Tags = append(doc.VLAN.Tags, libvirtxml.NetworkVLANTag{ID: uint(id)})
		}
		return nil
	},
}

const maxVLAN = 4095
