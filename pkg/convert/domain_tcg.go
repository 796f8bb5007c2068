package convert

import "libvirt.org/go/libvirtxml"

// tcgCacheMiB bounds the host code that QEMU translates guest code into, in MiB,
// for guests that run without KVM. Left to itself QEMU takes up to an eighth of
// the host's memory, or 1 GiB, for each guest, which no account could hold.
const tcgCacheMiB = 128

// setTCG bounds the translation cache of a guest that QEMU translates, unless
// the user has. libvirt refuses the setting for a guest of any other type.
func setTCG(domain *libvirtxml.Domain) {
	if domain.Type != "qemu" {
		return
	}
	if domain.Features == nil {
		domain.Features = &libvirtxml.DomainFeatureList{}
	}
	if domain.Features.TCG == nil {
		domain.Features.TCG = &libvirtxml.DomainFeatureTCG{}
	}
	if domain.Features.TCG.TBCache == nil {
		domain.Features.TCG.TBCache = &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: tcgCacheMiB}
	}
}
