package hostconfig

import (
	"net/netip"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/executor/images"
)

// minImageGrace keeps images from being fetched anew for each disk of a batch.
const minImageGrace = 10 * time.Second

func (h *HostConfiguration) validateImages(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if h.ImageDir != "" && !filepath.IsAbs(h.ImageDir) {
		errs = append(errs, field.Invalid(path.Child("imageDir"), h.ImageDir, "must be a whole path, such as /var/lib/vm-executor/images"))
	}
	for i, cidr := range h.ImageNetworks {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			errs = append(errs, field.Invalid(path.Child("imageNetworks").Index(i), cidr, "must be a network such as 10.1.0.0/16"))
		}
	}
	if g := h.ImageGrace; g != nil && g.Duration < minImageGrace {
		errs = append(errs, field.Invalid(path.Child("imageGrace"), g.Duration.String(), "must be at least "+minImageGrace.String()))
	}
	return errs
}

// Origins are what a valid configuration allows images to come from.
func (h *HostConfiguration) Origins() images.Origins {
	out := images.Origins{Dir: h.ImageDir}
	for _, cidr := range h.ImageNetworks {
		if prefix, err := netip.ParsePrefix(cidr); err == nil {
			out.Networks = append(out.Networks, prefix.Masked())
		}
	}
	return out
}

// GraceOfImages is how long an image is kept that no disk needs.
func (h *HostConfiguration) GraceOfImages() time.Duration {
	if h.ImageGrace == nil {
		return images.DefaultGrace
	}
	return h.ImageGrace.Duration
}
