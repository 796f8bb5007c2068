package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/imagestatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Reasons of events that are no reasons of conditions.
const (
	eventFetched = "ImageFetched"
	eventRemoved = "ImageRemoved"
)

// markCapacity is a mark's size in bytes; pools of extents give it one.
const markCapacity = 512

// carryOut does what was decided.
func (k *Keeper) carryOut(ctx context.Context, key libvirt.VolumeRef, w *work, in *Situation, decision Decision) error {
	switch {
	case decision.Unused && w.memory.UnusedSince.IsZero():
		w.memory.UnusedSince = in.Now
	case !decision.Unused:
		w.memory.UnusedSince = time.Time{}
	}
	was := k.become(w, in, decision)
	if decision.Report != nil && in.Image != nil {
		if err := k.report(ctx, key, in, *decision.Report); err != nil {
			return err
		}
	}
	if was && in.Image != nil {
		k.tell(ctx, client.ObjectKeyFromObject(in.Image))
	}
	for _, step := range decision.Steps {
		klog.FromContext(ctx).V(2).Info("Carrying out a step", keyStep, step)
		if err := k.do(ctx, step, key, w, in); err != nil {
			k.answer(w, in.offer, err)
			return k.failed(ctx, step, key, w, in, err)
		}
	}
	if len(decision.Steps) > 0 {
		if slices.Contains(decision.Steps, StepFetch) {
			k.answer(w, in.offer, nil)
		}
		if slices.Contains(decision.Steps, StepFetch) || slices.Contains(decision.Steps, StepVerify) {
			w.memory = Memory{Verified: true} // what was to be done is done
		}
		k.Pools.Look()
	}
	return nil
}

// become takes over what disks are told; it says whether that has changed.
func (k *Keeper) become(w *work, in *Situation, decision Decision) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ready := (*libvirt.Volume)(nil)
	if decision.Ready {
		ready = in.Volume
	}
	reason, message := v1alpha1.ReasonImageNotReady, w.message
	switch r := decision.Report; {
	case r == nil && decision.Awaits != "":
		message = decision.Awaits
	case r == nil:
	case r.Phase == v1alpha1.ImageFailed:
		reason, message = v1alpha1.ReasonImageFailed, "cannot be had on host "+k.Node+": "+r.Message
	case r.Phase == v1alpha1.ImageFetching:
		message = cmp.Or(decision.Awaits, "is to be fetched: others go first")
	}
	changed := (ready == nil) != (w.ready == nil) || reason != w.reason || message != w.message
	w.ready, w.reason, w.message = ready, reason, message
	return changed
}

// report writes the host's entry of the image's status.
func (k *Keeper) report(ctx context.Context, key libvirt.VolumeRef, in *Situation, r Report) error {
	stored, err := imagestatus.Write(ctx, k.Live, in.Image, func(s *v1alpha1.VirtualDiskImageStatus) {
		r.apply(s, k.Node, key, in.Now)
	})
	if err != nil {
		return err
	}
	in.Image = stored
	return nil
}

// apply writes r into the host's entry. It is pure; applying it twice changes
// nothing. Where others have filled the list there is no entry.
func (r Report) apply(s *v1alpha1.VirtualDiskImageStatus, node string, key libvirt.VolumeRef, now time.Time) {
	entry := s.CopyAt(node, key.Pool)
	if entry == nil {
		if len(s.Hosts) >= v1alpha1.MaxImageHosts {
			return
		}
		s.Hosts = append(s.Hosts, v1alpha1.ImageCopy{NodeName: node, PoolName: key.Pool})
		entry = &s.Hosts[len(s.Hosts)-1]
	}
	if entry.Phase != r.Phase {
		at := metav1.NewTime(now.Truncate(time.Second))
		entry.Since = &at
	}
	entry.Phase, entry.Reason, entry.VolumeName = r.Phase, r.Reason, key.Name
	entry.Message = r.Message[:min(len(r.Message), 1024)]
	if r.Bytes > 0 {
		entry.Bytes = r.Bytes
	}
	if r.VirtualSize > 0 {
		entry.VirtualSize = r.VirtualSize
	}
}

// do carries out one step.
func (k *Keeper) do(ctx context.Context, step Step, key libvirt.VolumeRef, w *work, in *Situation) error {
	change, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	switch step {
	case StepMark:
		err := k.Storage.CreateVolume(change, key.Pool, libvirt.NewVolume{Name: key.Name + k.mark(), Format: libvirt.FormatRaw, Capacity: markCapacity})
		if errors.Is(err, libvirt.ErrVolumeExists) {
			return nil
		}
		return err
	case StepFetch:
		return k.fetch(ctx, key, w, in)
	case StepUnmark:
		return k.Storage.DeleteVolume(change, key.Pool, key.Name+k.mark())
	case StepVerify:
		return k.verify(ctx, key, in)
	case StepRemove:
		if !k.mayRemove(key) {
			return errHeld
		}
		if err := k.Storage.DeleteVolume(change, key.Pool, key.Name); err != nil {
			return err
		}
		if in.Volume != nil && !in.Marked && in.Image != nil {
			k.Recorder.Eventf(in.Image, nil, corev1.EventTypeNormal, eventRemoved, "Remove", "Removed from storage pool %s of %s: nothing there needs it", key.Pool, k.Node)
		}
		return nil
	case StepWithdraw:
		if in.Image == nil {
			return nil
		}
		_, err := imagestatus.Write(ctx, k.Live, in.Image, func(s *v1alpha1.VirtualDiskImageStatus) {
			s.Hosts = slices.DeleteFunc(s.Hosts, func(c v1alpha1.ImageCopy) bool { return c.NodeName == k.Node && c.PoolName == key.Pool })
		})
		return client.IgnoreNotFound(err)
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

var errHeld = errors.New("a disk is being made of it")

// mayRemove says whether no disk is being made of the image; from then on none is.
func (k *Keeper) mayRemove(key libvirt.VolumeRef) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.works[key]
	if w == nil || w.held > 0 {
		return w == nil
	}
	w.ready = nil
	return true
}

// failed remembers an image that could not be had; what says nothing of it is
// returned, and the turn repeated.
func (k *Keeper) failed(ctx context.Context, step Step, key libvirt.VolumeRef, w *work, in *Situation, err error) error {
	if ctx.Err() != nil || step != StepFetch && step != StepVerify && step != StepMark ||
		errors.Is(err, libvirt.ErrUnavailable) || errors.Is(err, libvirt.ErrPoolBusy) || endsQuietly(err) {
		if endsQuietly(err) {
			k.queue.Add(key)
			return nil
		}
		return err
	}
	reason, message := k.explain(key, err)
	klog.FromContext(ctx).Info("An image could not be had and is tried again", keyStep, step, keyError, err.Error())
	if in.Image != nil && w.memory.Reason != reason {
		k.Recorder.Eventf(in.Image, nil, corev1.EventTypeWarning, reason, string(step), "%s: %s", k.Node, message[:min(len(message), 1000)])
	}
	w.memory.note(reason, message, k.Clock.Now())
	k.queue.Add(key) // to report it
	k.Pools.Look()
	return nil
}

// endsQuietly says whether a fetch ended without anything having gone wrong.
func endsQuietly(err error) bool {
	return errors.Is(err, errUnneeded) || errors.Is(err, errBrokenOff) || errors.Is(err, errOffset)
}

// explain is a reason and words for what went wrong.
func (k *Keeper) explain(key libvirt.VolumeRef, err error) (reason, message string) {
	var bad *invalidError
	var forbidden *forbiddenError
	var sum *checksumError
	var own *libvirt.Error
	switch {
	case errors.As(err, &bad):
		return v1alpha1.ReasonInvalidImage, bad.why
	case errors.As(err, &forbidden):
		return v1alpha1.ReasonForbiddenOrigin, forbidden.why
	case errors.As(err, &sum):
		return v1alpha1.ReasonChecksumMismatch, sum.Error()
	case errors.Is(err, libvirt.ErrNoSpace):
		message := fmt.Sprintf("storage pool %s became full: free some there; it is tried again", key.Pool)
		var room *roomError
		if errors.As(err, &room) {
			message = fmt.Sprintf("storage pool %s has %s; free some there, or choose another pool or host", key.Pool, room.Error())
		}
		return v1alpha1.ReasonPoolFull, message
	case errors.As(err, &own):
		return v1alpha1.ReasonVolumeFailed, own.Error() + "; it is tried again"
	}
	return v1alpha1.ReasonFetchFailed, err.Error() + "; it is tried again"
}
