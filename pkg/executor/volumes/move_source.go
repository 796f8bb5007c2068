package volumes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

const (
	eventMoved = "VolumeMoved"
	// moveGlance is how often a move looks whether it is still wanted, and
	// progressEvery how often it says how far it is, when that is progressStep of
	// the whole or more.
	moveGlance    = 2 * time.Second
	progressEvery = 10 * time.Second
	progressSteps = 100
	// askTimeout bounds a request that carries no content.
	askTimeout = 2 * time.Minute
	// maxAnswer is the most that is read of an answer.
	maxAnswer = 64 << 10
)

// Peers are the other hosts; see transfer.Peers.
type Peers interface {
	// Call returns a client for the executor of the host, and the URL under which it
	// serves.
	Call(ctx context.Context, node string) (*http.Client, string, error)
	// Is says whether the request comes from the host's executor.
	Is(ctx context.Context, node string, r *http.Request) error
}

// moveError is why a move could not go on. Its words are for the disk's status.
type moveError struct{ error }

func (e moveError) Unwrap() error { return e.error }

// errUnwanted ends a move that nobody wants any more.
var errUnwanted = errors.New("the move is not wanted any more")

// carry brings the volume to where the disk is moved to, and stores that all of it
// is there. No guest is started on it meanwhile.
func (k *Keeper) carry(ctx context.Context, w *work, in *Situation) error {
	d := in.Disk
	k.copying(d, 1)
	defer k.copying(d, -1)
	if why := k.beingAltered(d); why != "" {
		return moveError{errors.New(why)}
	}
	// One may have come to use it since that was looked at.
	users := k.Guests.Users(ctx, d)
	if len(users) == 0 {
		var err error
		if users, err = k.boundAnywhere(ctx, d); err != nil {
			return err
		}
	}
	if len(users) > 0 {
		return moveError{fmt.Errorf("%s has begun to use it", users[0].VM)}
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	var copied atomic.Int64
	total, err := k.Storage.VolumeLength(ctx, d.Pool(), d.VolumeName())
	if err != nil {
		return err
	}
	moving, end := context.WithCancelCause(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		k.followMove(moving, d, total, &copied, end)
	}()
	here, format := d.Status.MoveTo.NodeName == k.Node, in.Volume.Format
	if here {
		format, err = k.carryHere(moving, d, in.Volume, &copied)
	} else {
		err = k.carryAway(moving, d, in.Volume, total, &copied)
	}
	unwanted := errors.Is(context.Cause(moving), errUnwanted)
	end(nil)
	<-followed
	if here && (unwanted || err != nil) {
		k.undoReceiving(ctx, d.UID, d.Status.MoveTo.PoolName, d.VolumeName())
	}
	if unwanted {
		return fmt.Errorf("moving VirtualDisk %s/%s: %w", d.Namespace, d.Name, errUnwanted)
	}
	if err != nil {
		return err
	}
	w.newest = nil
	err = k.sayMove(ctx, d, func(live *v1alpha1.VirtualDisk) *v1alpha1.DiskMoveProgress {
		return &v1alpha1.DiskMoveProgress{ID: live.Status.MoveTo.ID, State: v1alpha1.MoveCopied, Total: total, Copied: total, Format: v1alpha1.DiskFormat(format)}
	})
	if here && errors.Is(err, errUnwanted) {
		k.undoReceiving(ctx, d.UID, d.Status.MoveTo.PoolName, d.VolumeName())
	}
	return err
}

// sayMove stores how the move goes, on the object as it is now. Errors:
// errUnwanted when it is not that move any more.
func (k *Keeper) sayMove(ctx context.Context, d *v1alpha1.VirtualDisk, progress func(live *v1alpha1.VirtualDisk) *v1alpha1.DiskMoveProgress) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		live, err := k.read(ctx, client.ObjectKeyFromObject(d))
		if err != nil {
			return err
		}
		if !sameMove(live, d) || live.DeletionTimestamp != nil {
			return fmt.Errorf("moving VirtualDisk %s/%s: %w", d.Namespace, d.Name, errUnwanted)
		}
		_, err = diskstatus.Write(ctx, k.Live, live, func(s *v1alpha1.VirtualDiskStatus) { s.MoveProgress = progress(live) })
		if !errors.Is(err, diskstatus.ErrStale) || ctx.Err() != nil {
			return err
		}
	}
}

// sameMove says whether the disk is still in the move that d is in.
func sameMove(live, d *v1alpha1.VirtualDisk) bool {
	return live != nil && live.UID == d.UID && live.Status.MoveTo != nil && d.Status.MoveTo != nil && *live.Status.MoveTo == *d.Status.MoveTo &&
		live.Status.NodeName == d.Status.NodeName
}

// followMove says now and then how far the move is, and ends it when it is not
// wanted any more.
func (k *Keeper) followMove(ctx context.Context, d *v1alpha1.VirtualDisk, total int64, copied *atomic.Int64, end context.CancelCauseFunc) {
	ticker := k.Clock.NewTicker(moveGlance)
	defer ticker.Stop()
	said, saidAt := int64(-1), k.Clock.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		seen := k.Disks.Disk(ctx, client.ObjectKeyFromObject(d))
		if seen != nil && (!sameMove(seen, d) && k.gone(ctx, d) || seen.DeletionTimestamp != nil) {
			end(errUnwanted)
			return
		}
		now := copied.Load()
		if k.Clock.Since(saidAt) < progressEvery || now-said < max(total/progressSteps, 1) {
			continue
		}
		said, saidAt = now, k.Clock.Now()
		err := k.sayMove(ctx, d, func(live *v1alpha1.VirtualDisk) *v1alpha1.DiskMoveProgress {
			return &v1alpha1.DiskMoveProgress{ID: live.Status.MoveTo.ID, State: v1alpha1.MoveCopying, Total: total, Copied: now}
		})
		if err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("How far a move is could not be said", keyError, err.Error())
		}
	}
}

// gone says whether the move is over, by the API server itself: the watch may be
// behind what it was begun with.
func (k *Keeper) gone(ctx context.Context, d *v1alpha1.VirtualDisk) bool {
	live, err := k.read(ctx, client.ObjectKeyFromObject(d))
	return err == nil && !sameMove(live, d)
}

// carryHere copies the volume into another pool of the host, under a mark that
// stays until the disk is at home there, and returns the copy's format.
func (k *Keeper) carryHere(ctx context.Context, d *v1alpha1.VirtualDisk, v *libvirt.Volume, copied *atomic.Int64) (format string, err error) {
	to := d.Status.MoveTo.PoolName
	pool, err := k.prepareReceiving(ctx, d, to, v.Capacity)
	if err != nil {
		return "", err
	}
	made := libvirt.NewVolume{Name: d.VolumeName(), Format: v.Format, Capacity: v.Capacity}
	if !filePools[pool.Type] {
		made.Format = libvirt.FormatRaw
	}
	if err := k.duplicate(ctx, to, filePools[pool.Type], made, d.Pool(), v, copied); err != nil {
		return "", err
	}
	return made.Format, k.clear(ctx, to, pool.Type, made.Name, v.Capacity)
}

// carryAway sends the volume to another host.
func (k *Keeper) carryAway(ctx context.Context, d *v1alpha1.VirtualDisk, v *libvirt.Volume, total int64, copied *atomic.Int64) error {
	if k.Peers == nil {
		return moveError{fmt.Errorf("host %s exchanges no volumes: set transfer.bindAddress in its vm-executor's configuration", k.Node)}
	}
	to := d.Status.MoveTo.NodeName
	caller, base, err := k.Peers.Call(ctx, to)
	if err != nil {
		return moveError{err}
	}
	defer caller.CloseIdleConnections()
	url := base + incomingPath(client.ObjectKeyFromObject(d), d.Status.MoveTo.ID)
	offer, err := json.Marshal(moveOffer{Format: v.Format, Capacity: v.Capacity, Length: total})
	if err != nil {
		return err
	}
	begun := moveAccepted{}
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := ask(asked, caller, to, http.MethodPost, url, bytes.NewReader(offer), &begun); err != nil {
		return err
	}
	if begun.Offset < 0 || begun.Offset > total {
		return moveError{fmt.Errorf("host %s has %d bytes of %d: it is not the same volume", to, begun.Offset, total)}
	}
	// All of it is read, for the digest is of all, and sent from where the target is.
	reading, stopReading := context.WithCancel(ctx)
	body, sent := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := k.sendVolume(reading, d, total, begun.Offset, copied, sent)
		_ = sent.CloseWithError(err)
		read <- err
	}()
	err = ask(ctx, caller, to, http.MethodPut, url, body, nil)
	stopReading()
	_ = body.CloseWithError(io.ErrClosedPipe)
	if readErr := <-read; readErr != nil && !errors.Is(readErr, io.ErrClosedPipe) && !errors.Is(readErr, context.Canceled) {
		return readErr
	}
	return err
}

// sendVolume reads the whole volume and writes what is behind offset as frames.
func (k *Keeper) sendVolume(ctx context.Context, d *v1alpha1.VirtualDisk, total, offset int64, copied *atomic.Int64, to io.Writer) error {
	frames := transfer.NewFrameWriter(to)
	sum := transfer.NewDigest()
	s := &tail{skip: offset, sum: sum, to: frames, at: copied}
	if err := k.Storage.ReadVolume(ctx, d.Pool(), d.VolumeName(), 0, total, s); err != nil {
		return err
	}
	return frames.Close(sum.Sum())
}

// tail hands on what comes behind the first skip bytes; all of it goes into sum,
// and, unless that is nil, how much it is into at.
type tail struct {
	skip int64
	sum  *transfer.Digest
	to   libvirt.ContentSink
	at   *atomic.Int64
}

// Write implements libvirt.ContentSink.
func (t *tail) Write(p []byte) (int, error) {
	_, _ = t.sum.Write(p)
	if t.at != nil {
		t.at.Add(int64(len(p)))
	}
	skipped := min(t.skip, int64(len(p)))
	t.skip -= skipped
	n, err := t.to.Write(p[skipped:])
	return n + int(skipped), err
}

// Hole implements libvirt.ContentSink.
func (t *tail) Hole(n int64) error {
	_ = t.sum.Hole(n)
	if t.at != nil {
		t.at.Add(n)
	}
	skipped := min(t.skip, n)
	t.skip -= skipped
	if n == skipped {
		return nil
	}
	return t.to.Hole(n - skipped)
}

// ask sends a request to a host and reads its answer. Errors: moveError, with the
// host's own words.
func ask(ctx context.Context, caller *http.Client, node, method, url string, body io.Reader, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	response, err := caller.Do(r)
	if err != nil {
		return moveError{fmt.Errorf("host %s does not take it: %w", node, err)}
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return moveError{fmt.Errorf("host %s does not take it: %w", node, err)}
	case response.StatusCode != http.StatusOK:
		return moveError{fmt.Errorf("host %s does not take it: %s", node, bytes.TrimSpace(said))}
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(said, answer); err != nil {
		return moveError{fmt.Errorf("reading what host %s says: %w", node, err)}
	}
	return nil
}

// leave stores that the volume is gone from here.
func (k *Keeper) leave(ctx context.Context, w *work, d *v1alpha1.VirtualDisk) error {
	stored, err := diskstatus.Write(ctx, k.Live, d, func(s *v1alpha1.VirtualDiskStatus) {
		if s.MoveProgress != nil {
			s.MoveProgress.State, s.MoveProgress.Message = v1alpha1.MoveLeft, ""
		}
	})
	if err != nil {
		return err
	}
	w.newest = stored
	k.ledger.forget(d.UID)
	to := d.Status.MoveTo
	k.Recorder.Eventf(d, nil, corev1.EventTypeNormal, eventMoved, "Move", "Volume %s is in storage pool %s of %s now, and removed from storage pool %s of %s", d.VolumeName(), to.PoolName, to.NodeName, d.Pool(), k.Node)
	return nil
}

// incomingPath is where a host takes a disk.
func incomingPath(key types.NamespacedName, id string) string {
	return "/v1/incoming/" + key.Namespace + "/" + key.Name + "/" + id
}

// moveOffer is what a host is asked to take.
type moveOffer struct {
	Format   string `json:"format"`
	Capacity int64  `json:"capacity"`
	Length   int64  `json:"length"`
}

// moveAccepted says from where on content is wanted.
type moveAccepted struct {
	Offset int64 `json:"offset"`
}
