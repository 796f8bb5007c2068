package images

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

// lingerTime is how long a caller who is refused is listened to at most, who has the
// answer and goes away long before.
const lingerTime = 5 * time.Second

// refusal is an answer to a request that is not served.
type refusal struct {
	status int
	says   string
}

func (r refusal) Error() string { return r.says }

// Upload serves a caller who may upload an image. HEAD says how much of it is there,
// and PATCH adds to that. An upload that is under way ends by either.
func (k *Keeper) Upload(w http.ResponseWriter, r *http.Request, name types.NamespacedName) {
	ctx := r.Context()
	key, err := k.uploadTo(ctx, name)
	if err == nil {
		switch r.Method {
		case http.MethodHead:
			err = k.tellLength(ctx, w, key)
		case http.MethodPatch:
			err = k.append(w, r, key)
		default:
			err = refusal{http.StatusMethodNotAllowed, r.Method + " is not served here: HEAD says how much is there, PATCH adds to it"}
		}
	}
	var no refusal
	switch {
	case err == nil:
	case errors.As(err, &no):
		refuse(w, r, no)
	default:
		klog.FromContext(ctx).Info("Uploading an image failed", keyImage, name, keyError, err.Error())
		refuse(w, r, refusal{http.StatusServiceUnavailable, "the image could not be stored: see the log of its host's vm-executor"})
	}
}

// refuse answers a caller who may be in the middle of sending. What comes is thrown
// away for a while: a connection that is closed with bytes unread is reset, and the
// caller would lose the answer. net/http does that itself, but not for callers who
// expected to be told to continue.
func refuse(w http.ResponseWriter, r *http.Request, no refusal) {
	w.Header().Set("Connection", "close")
	http.Error(w, no.says, no.status)
	if r.Method != http.MethodPatch {
		return
	}
	control := http.NewResponseController(w)
	if control.Flush() == nil && control.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// uploadTo is the volume that the image is uploaded into.
func (k *Keeper) uploadTo(ctx context.Context, name types.NamespacedName) (libvirt.VolumeRef, error) {
	none := libvirt.VolumeRef{}
	suffix := k.mark()
	if suffix == "" {
		return none, refusal{http.StatusServiceUnavailable, "its vm-executor has just been started: try again"}
	}
	// What the watch has may be older than the ticket.
	image := &v1alpha1.VirtualDiskImage{}
	if err := k.Live.Get(ctx, name, image); err != nil {
		if isGone(err) {
			return none, refusal{http.StatusNotFound, "there is no VirtualDiskImage " + name.String()}
		}
		return none, err
	}
	u := image.Spec.Source.Upload
	switch {
	case image.DeletionTimestamp != nil:
		return none, refusal{http.StatusNotFound, "VirtualDiskImage " + name.String() + " is being deleted"}
	case u == nil:
		return none, refusal{http.StatusConflict, "VirtualDiskImage " + name.String() + " is not uploaded: its spec.source is another"}
	case image.Status.NodeName != k.Node:
		return none, refusal{http.StatusMisdirectedRequest, "VirtualDiskImage " + name.String() + " is not uploaded to host " + k.Node + " but to host " + image.Status.NodeName}
	}
	if seen := k.Images.Image(ctx, name); seen == nil || seen.UID != image.UID || seen.Status.NodeName != k.Node {
		return none, refusal{http.StatusServiceUnavailable, "host " + k.Node + " has yet to hear of the image: try again"}
	}
	pool, ok := k.Pools.Pool(u.Pool())
	switch {
	case !ok:
		return none, refusal{http.StatusServiceUnavailable, "host " + k.Node + " has no active storage pool " + u.Pool() + ": start it there, or create the image with another spec.source.upload.poolName"}
	case !filePools[pool.Type]:
		return none, refusal{http.StatusConflict, "storage pool " + u.Pool() + " has no files: create the image with another spec.source.upload.poolName"}
	}
	return libvirt.VolumeRef{Pool: pool.Name, Name: volumeName(image, &pool, suffix)}, nil
}

// measure says how many bytes are there, and whether those are all.
func (k *Keeper) measure(ctx context.Context, key libvirt.VolumeRef) (length int64, whole bool, err error) {
	if length, err = k.lengthOf(ctx, key); err != nil {
		return 0, false, err
	}
	there, err := k.volume(ctx, key.Pool, key.Name)
	if err != nil || there == nil {
		return 0, false, err
	}
	mark, err := k.volume(ctx, key.Pool, key.Name+k.mark())
	return length, mark == nil, err
}

// tell writes into the header how much is there.
func tell(w http.ResponseWriter, length int64, whole bool) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(transfer.HeaderUploadOffset, strconv.FormatInt(length, 10))
	w.Header().Set(transfer.HeaderUploadComplete, transfer.UploadIncomplete)
	if whole {
		w.Header().Set(transfer.HeaderUploadComplete, transfer.UploadComplete)
	}
}

func (k *Keeper) tellLength(ctx context.Context, w http.ResponseWriter, key libvirt.VolumeRef) error {
	if err := k.quiet(ctx, key); err != nil {
		return err
	}
	length, whole, err := k.measure(ctx, key)
	if err != nil {
		return err
	}
	tell(w, length, whole)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// append adds what comes to what is there.
func (k *Keeper) append(w http.ResponseWriter, r *http.Request, key libvirt.VolumeRef) error {
	ctx := r.Context()
	offset, err := header(r, transfer.HeaderUploadOffset)
	if err != nil {
		return err
	}
	total, err := header(r, transfer.HeaderUploadLength)
	if err != nil {
		return err
	}
	switch {
	case r.Header.Get("Content-Type") != transfer.TypePartialUpload:
		return refusal{http.StatusUnsupportedMediaType, "Content-Type must be " + transfer.TypePartialUpload}
	case r.ContentLength != total-offset || offset > total:
		return refusal{http.StatusBadRequest, "Content-Length must be what is missing: " + transfer.HeaderUploadLength + " less " + transfer.HeaderUploadOffset}
	}
	err = k.offer(ctx, key, &offer{offset: offset, total: total, body: newBody(w, r), done: make(chan error, 1)})
	switch {
	case err == nil:
		tell(w, total, true)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case errors.Is(err, errNotTaken), errors.Is(err, errOffset):
		length, whole, err := k.measure(ctx, key)
		if err != nil {
			return err
		}
		tell(w, length, whole)
		if whole {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return refusal{http.StatusConflict, "there are " + strconv.FormatInt(length, 10) + " bytes: go on from there"}
	case errors.Is(err, errSuperseded):
		return refusal{http.StatusConflict, err.Error()}
	case errors.Is(err, errBrokenOff), ctx.Err() != nil:
		return refusal{http.StatusRequestTimeout, err.Error() + ": go on with what is there"}
	case errors.Is(err, errUnneeded):
		return refusal{http.StatusNotFound, "the image has been deleted"}
	}
	switch reason, message := k.explain(key, err); reason {
	case v1alpha1.ReasonInvalidImage, v1alpha1.ReasonChecksumMismatch:
		return refusal{http.StatusUnprocessableEntity, message}
	case v1alpha1.ReasonPoolFull:
		return refusal{http.StatusInsufficientStorage, message}
	}
	return err
}

// header reads a number of bytes.
func header(r *http.Request, name string) (int64, error) {
	n, err := strconv.ParseInt(r.Header.Get(name), 10, 64)
	if err != nil || n < 0 {
		return 0, refusal{http.StatusBadRequest, name + " must be a number of bytes"}
	}
	return n, nil
}
