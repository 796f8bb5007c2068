package objects

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type networkConcern = concern[libvirtxml.Network, *v1alpha1.VirtualNetwork]

var networkPath = field.NewPath("spec", "network")

// networks are virtual networks.
var networks = &mapping[libvirtxml.Network, *v1alpha1.VirtualNetwork]{
	kind: xmldoc.KindNetwork,
	empty: func() *v1alpha1.VirtualNetwork {
		network := &v1alpha1.VirtualNetwork{}
		network.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualNetwork"))
		return network
	},
	at:       networkPath,
	part:     func(n *v1alpha1.VirtualNetwork) **runtime.RawExtension { return &n.Spec.Network },
	concerns: []networkConcern{networkIdentity, networkForward, networkBridge, networkSubnets, networkVLAN},
	whole:    []string{"/forward", "/bridge", "/mtu", "/vlan", "/metadata"},
	metadata: true,
}

// networkIdentity is <name>, <uuid> and the names and sizes that are typed one to
// one: <domain name> and <mtu size>.
var networkIdentity = networkConcern{
	lift: func(doc *libvirtxml.Network, n *v1alpha1.VirtualNetwork) {
		liftName(&doc.Name, n)
		liftUUID(&doc.UUID, &n.Spec.UUID)
		if doc.Domain != nil {
			n.Spec.DomainName, doc.Domain.Name = doc.Domain.Name, ""
			if *doc.Domain == (libvirtxml.NetworkDomain{}) {
				doc.Domain = nil
			}
		}
		if doc.MTU != nil && doc.MTU.Size > 0 && doc.MTU.Size <= maxMTU {
			n.Spec.MTU, doc.MTU = int32(doc.MTU.Size), nil
		}
	},
	lower: func(n *v1alpha1.VirtualNetwork, doc *libvirtxml.Network) field.ErrorList {
		errs := lowerName(n, &doc.Name, networkPath)
		errs = append(errs, lowerUUID(n.Spec.UUID, &doc.UUID, networkPath)...)
		if n.Spec.DomainName != "" {
			if doc.Domain == nil {
				doc.Domain = &libvirtxml.NetworkDomain{}
			}
			errs = append(errs, lowerText(n.Spec.DomainName, &doc.Domain.Name, networkPath.Child("domain", "name"), "spec.domainName")...)
		}
		if n.Spec.MTU > 0 {
			size := uint(n.Spec.MTU)
			if doc.MTU != nil && doc.MTU.Size != size {
				errs = append(errs, givenTwice(networkPath.Child("mtu", "size"), doc.MTU.Size, "spec.mtu"))
			}
			doc.MTU = &libvirtxml.NetworkMTU{Size: size}
		}
		return errs
	},
}

const maxMTU = 65535
