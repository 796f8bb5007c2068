package libvirt

import "libvirt.org/go/libvirtxml"

// unboundCache is what QEMU takes at most for translated code where nobody says.
const unboundCache = 1 << 30

// translationCache is how much translated code an emulated guest may have, in
// bytes; 0 of a guest that is not emulated.
func translationCache(d *libvirtxml.Domain) int64 {
	if d.Type != "qemu" {
		return 0
	}
	if d.Features == nil || d.Features.TCG == nil || d.Features.TCG.TBCache == nil {
		return unboundCache
	}
	cache := d.Features.TCG.TBCache
	return int64(cache.Size) * unitBytes(cache.Unit)
}
