package imagestate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// standing lists the names of the disks that stand on the image: those that have a
// home, where their volumes are or may be.
func standing(image string, disks []v1alpha1.VirtualDisk) (names []string) {
	for i := range disks {
		if d := &disks[i]; d.StandsOnImage() && d.ImageOf() == image && d.Status.NodeName != "" {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return names
}

// decide writes into the status what the hosts' entries tell in sum. Entries of
// hosts that there are no more are dropped. It is pure; applying it twice changes
// nothing.
func decide(s *v1alpha1.VirtualDiskImageStatus, image *v1alpha1.VirtualDiskImage, standing []string, exists func(host string) bool, now metav1.Time) {
	s.ObservedGeneration = image.Generation
	s.Hosts = slices.DeleteFunc(s.Hosts, func(c v1alpha1.ImageCopy) bool { return !exists(c.NodeName) })
	s.Copies = 0
	var failed, fetching *v1alpha1.ImageCopy
	for i := range s.Hosts {
		c := &s.Hosts[i]
		if c.Bytes > 0 {
			s.Bytes = c.Bytes
		}
		if c.VirtualSize > 0 {
			s.VirtualSize = c.VirtualSize
		}
		switch c.Phase {
		case v1alpha1.ImageReady:
			s.Copies++
		case v1alpha1.ImageFailed:
			failed = c
		default:
			fetching = c
		}
	}
	ready := metav1.Condition{
		Type: v1alpha1.ConditionImageReady, Status: metav1.ConditionFalse, ObservedGeneration: image.Generation, LastTransitionTime: now,
	}
	switch {
	case image.DeletionTimestamp != nil:
		s.Phase = v1alpha1.ImageDeleting
		ready.Reason, ready.Message = v1alpha1.ReasonImageInUse, fmt.Sprintf("it is deleted when no disk stands on it any more: %s", some(standing))
	case lostAt(image, s) != nil:
		// Others may still have it, for as long as their disks need it.
		lost := lostAt(image, s)
		s.Phase = v1alpha1.ImageFailed
		ready.Reason, ready.Message = lost.Reason, fmt.Sprintf("host %s: %s", lost.NodeName, lost.Message)
	case s.Copies > 0:
		s.Phase = v1alpha1.ImageReady
		ready.Status, ready.Reason, ready.Message = metav1.ConditionTrue, v1alpha1.ReasonImageCached, "a host has it"
	case fetching != nil:
		s.Phase = v1alpha1.ImageFetching
		ready.Reason, ready.Message = cmp.Or(fetching.Reason, v1alpha1.ReasonImageFetching), fmt.Sprintf("host %s: %s", fetching.NodeName, fetching.Message)
	case failed != nil:
		s.Phase = v1alpha1.ImageFailed
		ready.Reason, ready.Message = failed.Reason, fmt.Sprintf("host %s: %s", failed.NodeName, failed.Message)
	case image.Spec.Source.Upload != nil:
		s.Phase = v1alpha1.ImagePending
		ready.Reason, ready.Message = unuploaded(image, s.NodeName, exists(s.NodeName))
	default:
		s.Phase = v1alpha1.ImagePending
		ready.Reason, ready.Message = v1alpha1.ReasonImageUnneeded, "a host fetches it for the first VirtualDisk there that begins with it"
	}
	meta.SetStatusCondition(&s.Conditions, ready)
}

// some names a few.
func some(names []string) string {
	const few = 5
	if len(names) > few {
		return fmt.Sprintf("VirtualDisks %s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return "VirtualDisks " + strings.Join(names, ", ")
}
