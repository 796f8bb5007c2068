package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

var (
	// errBrokenOff says that the bytes of an upload ended before all were there. What
	// came stays.
	errBrokenOff = errors.New("the upload was broken off")
	// errSuperseded says that another request took the place of this one.
	errSuperseded = fmt.Errorf("%w: another one took its place", errBrokenOff)
	// errOffset says that an upload begins elsewhere than what is there ends.
	errOffset = errors.New("the upload does not begin where what is there ends")
	// errNotTaken says that nothing was to be done with the bytes of an upload.
	errNotTaken = errors.New("the image takes no upload now")
)

// offer is the bytes of one request that uploads an image, or what is missing of
// it. It is put into the image's work, and the image's turn takes it out.
type offer struct {
	// offset is where they begin, and total the length of the image, in bytes.
	offset, total int64
	body          *body
	// done gets one answer: nil when the image is whole.
	done chan error
}

// Open implements origin. The bytes are there once, and from offset on alone.
func (o *offer) Open(_ context.Context, offset int64, _ string) (*content, error) {
	if offset != o.offset {
		return nil, errOffset
	}
	return &content{Body: io.NopCloser(o.body), Offset: o.offset, Total: o.total}, nil
}

// body is a request's, which ends when nothing comes for stallTimeout, or when
// another request takes its place.
type body struct {
	from io.Reader
	// deadline sets when a read fails that waits.
	deadline func(time.Time) error

	mu    sync.Mutex
	ended bool
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{from: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
}

// Read implements io.Reader. What fails is errBrokenOff.
func (b *body) Read(p []byte) (int, error) {
	if err := b.wait(); err != nil {
		return 0, err
	}
	n, err := b.from.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		// What is to be done with the bytes takes as long as it takes.
		_ = b.deadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		if err = b.wait(); err == nil {
			err = fmt.Errorf("%w: nothing came for %s", errBrokenOff, stallTimeout)
		}
	default:
		err = fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return n, err
}

func (b *body) wait() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return errSuperseded
	}
	return b.deadline(time.Now().Add(stallTimeout))
}

// Close implements io.Closer: from then on nothing is read, and a read that waits
// ends.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		return b.deadline(time.Now())
	}
	return nil
}

// offer has the image's turn take the bytes, and returns its answer. What another
// request has offered ends before: whoever goes on with an upload is often faster
// than the news that its connection is gone.
func (k *Keeper) offer(ctx context.Context, key libvirt.VolumeRef, o *offer) error {
	for {
		k.mu.Lock()
		w := k.workLocked(key)
		before := w.offer
		if before == nil {
			w.offer = o
		}
		k.mu.Unlock()
		if before == nil {
			break
		}
		if err := k.supersede(ctx, key, before); err != nil {
			return err
		}
	}
	k.queue.Add(key)
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
	}
	// Who reads the body notices by itself; nobody may be left that does.
	_ = o.body.Close()
	if k.withdraw(key, o) {
		return context.Cause(ctx)
	}
	return <-o.done
}

// supersede ends what another request offers, and returns when that is over.
func (k *Keeper) supersede(ctx context.Context, key libvirt.VolumeRef, before *offer) error {
	_ = before.body.Close()
	for {
		k.mu.Lock()
		w := k.works[key]
		over := w == nil || w.offer != before
		if !over && !w.taken {
			w.offer, over = nil, true
			before.done <- errSuperseded
		}
		k.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// quiet ends what is being uploaded, so that what is there can be measured.
func (k *Keeper) quiet(ctx context.Context, key libvirt.VolumeRef) error {
	k.mu.Lock()
	var before *offer
	if w := k.works[key]; w != nil {
		before = w.offer
	}
	k.mu.Unlock()
	if before == nil {
		return nil
	}
	return k.supersede(ctx, key, before)
}

// withdraw takes an offer back that no turn has taken.
func (k *Keeper) withdraw(key libvirt.VolumeRef, o *offer) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.works[key]
	if w == nil || w.offer != o {
		return len(o.done) == 0
	}
	if w.taken {
		return false
	}
	w.offer = nil
	return true
}

// take takes the offer that the turn has seen; false when it is there no more.
func (k *Keeper) take(w *work, seen *offer) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seen == nil || w.offer != seen || w.taken {
		return false
	}
	w.taken = true
	return true
}

// answer ends the offer that the turn has seen.
func (k *Keeper) answer(w *work, seen *offer, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seen == nil || w.offer != seen {
		return
	}
	w.offer, w.taken = nil, false
	seen.done <- err
}

// await decides about an image that is uploaded here, of which not all is there, and
// nobody uploads it.
func await(in Situation) Decision {
	said := in.Image.Status.CopyAt(in.Node, in.Pool.Name)
	switch {
	case in.Volume == nil && in.Marked:
		return Decision{Steps: []Step{StepUnmark}, Again: true}
	case in.Volume != nil:
		return Decision{Awaits: "has been uploaded in part", Report: &Report{
			Phase: v1alpha1.ImageFetching, Reason: v1alpha1.ReasonUploadBrokenOff,
			Message: "a part of it is there: the same `virtctl image upload` goes on with it",
		}}
	case in.Memory.Reason != "":
		return Decision{Report: failed(in)}
	case said != nil && (said.Phase == v1alpha1.ImageReady || said.Reason == v1alpha1.ReasonImageLost):
		return Decision{Report: &Report{
			Phase: v1alpha1.ImageFailed, Reason: v1alpha1.ReasonImageLost,
			Message: "its volume is not in storage pool " + in.Pool.Name + " any more, or was damaged: upload the same file again",
		}}
	case said != nil && said.Phase == v1alpha1.ImageFetching:
		return Decision{Awaits: notUploaded, Steps: []Step{StepWithdraw}, Again: true}
	}
	return Decision{Awaits: notUploaded}
}

// notUploaded is what is said of an image to disks that wait for it.
const notUploaded = "has not been uploaded yet: `virtctl image upload` does that"
