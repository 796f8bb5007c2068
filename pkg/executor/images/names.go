package images

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// named is the name of a volume that may be an image: namespace, name, digits of
// the object's UID and, in a store that several hosts have, those of the host.
var named = regexp.MustCompile(`^([a-z0-9-]+)\.([a-z0-9.-]+)` + regexp.QuoteMeta(v1alpha1.ImageVolumeMark) + `[0-9a-f]{12}(-[0-9a-f]{10})?$`)

// volumeName is the name of the image's volume in the pool. Of a store that several
// hosts have each has its own: none removes what another one reads.
func volumeName(image *v1alpha1.VirtualDiskImage, pool *libvirt.Pool, suffix string) string {
	name := image.VolumeName()
	if pool.Store != "" {
		name += "-" + hostDigits(suffix)
	}
	return name
}

// hostDigits are those that the marks of the host end in.
func hostDigits(suffix string) string { return suffix[strings.LastIndexByte(suffix, '-')+1:] }

// imageOf reads namespace and name of the VirtualDiskImage out of its volume's name;
// false for any other volume, and for another host's.
func imageOf(volume string, pool *libvirt.Pool, suffix string) (types.NamespacedName, bool) {
	parts := named.FindStringSubmatch(volume)
	if parts == nil || (parts[3] != "") != (pool.Store != "") || parts[3] != "" && parts[3][1:] != hostDigits(suffix) {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: parts[1], Name: parts[2]}, true
}
