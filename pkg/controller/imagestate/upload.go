package imagestate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// homeRetry is when a host is looked for again for an image that has none.
const homeRetry = 10 * time.Second

// filePools are the types of pools that images are kept in.
var filePools = []string{"dir", "fs", "netfs", "vstorage"}

// homeOf is the host that an image is to be uploaded to: the one that it has, or asks
// for, or the one that exchanges volumes, is ready and has most room in the pool;
// empty when there is none. It is pure.
func homeOf(image *v1alpha1.VirtualDiskImage, hosts []v1alpha1.Hypervisor) string {
	u := image.Spec.Source.Upload
	if u == nil {
		return image.Status.NodeName
	}
	if home := cmp.Or(image.Status.NodeName, u.NodeName); home != "" {
		return home
	}
	best, room := "", int64(-1)
	for i := range hosts {
		h := &hosts[i]
		if h.Status.Transfer == nil || h.DeletionTimestamp != nil || !meta.IsStatusConditionTrue(h.Status.Conditions, v1alpha1.HypervisorReady) {
			continue
		}
		at := slices.IndexFunc(h.Status.Pools, func(p v1alpha1.HostPool) bool { return p.Name == u.Pool() && slices.Contains(filePools, p.Type) })
		if at < 0 {
			continue
		}
		if has := h.Status.Pools[at].Allocatable; has > room || has == room && h.Name < best {
			best, room = h.Name, has
		}
	}
	return best
}

// home is homeOf with the hosts that there are.
func (c *Controller) home(ctx context.Context, image *v1alpha1.VirtualDiskImage) (string, error) {
	u := image.Spec.Source.Upload
	if u == nil || cmp.Or(image.Status.NodeName, u.NodeName) != "" {
		return homeOf(image, nil), nil
	}
	hosts := &v1alpha1.HypervisorList{}
	if err := c.cached.List(ctx, hosts); err != nil {
		return "", fmt.Errorf("listing the Hypervisors: %w", err)
	}
	return homeOf(image, hosts.Items), nil
}

// unuploaded says why an image that is uploaded is nowhere.
func unuploaded(image *v1alpha1.VirtualDiskImage, home string, exists bool) (reason, message string) {
	pool := image.Spec.Source.Upload.Pool()
	switch {
	case home == "":
		return v1alpha1.ReasonNoUploadHost, "no host that is ready exchanges volumes (transfer.bindAddress in the configuration of its vm-executor) and has a storage pool of files named " + pool
	case !exists:
		return v1alpha1.ReasonNoUploadHost, "there is no host " + home + ", to which it is uploaded: if it does not come back, create the image again"
	}
	return v1alpha1.ReasonAwaitingUpload, fmt.Sprintf("nobody has uploaded it to host %s yet: `virtctl image upload %s -n %s -f FILE` does that", home, image.Name, image.Namespace)
}

// lostAt is the entry of the host that kept an uploaded image and has it no more; nil
// when there is none.
func lostAt(image *v1alpha1.VirtualDiskImage, s *v1alpha1.VirtualDiskImageStatus) *v1alpha1.ImageCopy {
	u := image.Spec.Source.Upload
	if u == nil {
		return nil
	}
	if c := s.CopyAt(s.NodeName, u.Pool()); c != nil && c.Reason == v1alpha1.ReasonImageLost {
		return c
	}
	return nil
}
