package volumes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// wholeSegment is how much is written before it is known to be there: what is
	// lost when a transfer is cut off.
	wholeSegment = 256 << 20
	// idleArrival is when nothing was heard of an arrival for so long that it is
	// looked whether it is still wanted.
	idleArrival = 2 * time.Minute
	// maxOffer is the most that is read of an offer.
	maxOffer = 4 << 10
)

// arrival is a disk that is being moved here from another host. What it has is
// known to this process alone: after its end the move begins anew.
type arrival struct {
	key    types.NamespacedName
	uid    types.UID
	id     string
	pool   string
	volume string
	sparse bool
	// poolType is the pool's.
	poolType string
	offer    moveOffer
	// busy is held while a request is at work on it.
	busy sync.Mutex
	// offset bytes are there. Guarded by busy.
	offset int64
	// heard is when a request was last done. Guarded by arrivals.mu.
	heard time.Time
}

// arrivals are those of a host, by the UID of the disk.
type arrivals struct {
	mu sync.Mutex
	of map[types.UID]*arrival
}

func (a *arrivals) get(uid types.UID) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[uid]
}

func (a *arrivals) put(in *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[types.UID]*arrival{}
	}
	a.of[in.uid] = in
}

func (a *arrivals) drop(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, uid)
}

func (a *arrivals) hear(in *arrival, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in.heard = now
}

// all lists them.
func (a *arrivals) all() []*arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.of))
}

// idle lists those of which nothing was heard since then.
func (a *arrivals) idle(since time.Time) (out []*arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range a.of {
		if in.heard.Before(since) {
			out = append(out, in)
		}
	}
	return out
}

// refusal is what a caller is told, with a status of HTTP.
type refusal struct {
	status int
	error
}

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Errorf(format, args...)}
}

// Incoming serves what other hosts send: POST offers a disk and is told from where
// on it is wanted, PUT sends the content from there, as frames.
func (k *Keeper) Incoming() (pattern string, handler http.Handler) {
	return "/v1/incoming/{namespace}/{name}/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := k.incoming(r)
		var no refusal
		switch {
		case errors.As(err, &no):
			http.Error(w, no.Error(), no.status)
		case errors.Is(err, libvirt.ErrNoSpace):
			http.Error(w, "its storage pool became full, and what was begun was undone: free some there", http.StatusInsufficientStorage)
		case err != nil:
			// libvirt's own words name paths of the host: they are for its log.
			klog.FromContext(r.Context()).Info("Taking a disk from another host failed", keyDisk, r.PathValue("namespace")+"/"+r.PathValue("name"), keyError, err.Error())
			http.Error(w, "it could not be stored: see the log of that host's vm-executor", http.StatusInternalServerError)
		default:
			_ = json.NewEncoder(w).Encode(answer)
		}
	})
}

func (k *Keeper) incoming(r *http.Request) (*moveAccepted, error) {
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	ctx := r.Context()
	disk, err := k.expected(ctx, r, key, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodPost:
		offer := moveOffer{}
		if err := json.NewDecoder(io.LimitReader(r.Body, maxOffer)).Decode(&offer); err != nil {
			return nil, refuse(http.StatusBadRequest, "reading the offer: %w", err)
		}
		return k.offered(ctx, disk, offer)
	case http.MethodPut:
		return k.content(ctx, disk, r.Body)
	}
	return nil, refuse(http.StatusMethodNotAllowed, "%s is not served here", r.Method)
}

// expected is the disk, if it is being moved here and the caller is the executor of
// its home.
func (k *Keeper) expected(ctx context.Context, r *http.Request, key types.NamespacedName, id string) (*v1alpha1.VirtualDisk, error) {
	if k.mark() == "" || !k.swept.Load() || k.Peers == nil {
		return nil, refuse(http.StatusServiceUnavailable, "its vm-executor has just been started")
	}
	// The object is in nobody's hands but the API server's, and so is who may send it.
	disk, err := k.read(ctx, key)
	if err != nil {
		return nil, err
	}
	if disk == nil || !comesTo(disk, k.Node, id) {
		return nil, refuse(http.StatusForbidden, "VirtualDisk %s is not being moved to host %s", key, k.Node)
	}
	if err := k.Peers.Is(ctx, disk.Status.NodeName, r); err != nil {
		klog.FromContext(ctx).Info("Somebody else offered a disk", keyDisk, key, keyError, err.Error())
		return nil, refuse(http.StatusForbidden, "it does not know the caller for the vm-executor of host %s: one that has just been started is known in a moment", disk.Status.NodeName)
	}
	return disk, nil
}

// comesTo says whether the disk is in that move to the host, and not copied yet.
func comesTo(d *v1alpha1.VirtualDisk, node, id string) bool {
	to := d.Status.MoveTo
	return to != nil && to.NodeName == node && to.ID == id && d.Status.NodeName != node && d.DeletionTimestamp == nil && !d.Status.Leaving()
}

// offered makes room for a disk, unless there is some of it already.
func (k *Keeper) offered(ctx context.Context, d *v1alpha1.VirtualDisk, offer moveOffer) (*moveAccepted, error) {
	if in := k.arrivals.get(d.UID); in != nil {
		if !in.busy.TryLock() {
			return nil, refuse(http.StatusConflict, "it is just taking it")
		}
		defer in.busy.Unlock()
		if in.id == d.Status.MoveTo.ID && in.offer == offer {
			k.arrivals.hear(in, k.Clock.Now())
			return &moveAccepted{Offset: in.offset}, nil
		}
		// It may have been on its way to another pool here, where nobody else knows of it.
		k.abandon(ctx, in)
	}
	in := &arrival{
		key: client.ObjectKeyFromObject(d), uid: d.UID, id: d.Status.MoveTo.ID, pool: d.Status.MoveTo.PoolName, volume: d.VolumeName(), offer: offer,
	}
	in.busy.Lock()
	defer in.busy.Unlock()
	in.heard = k.Clock.Now()
	k.arrivals.put(in) // what is promised to it is kept for as long
	pool, err := k.prepareReceiving(ctx, d, in.pool, offer.Capacity)
	var wrong moveError
	switch {
	case errors.As(err, &wrong):
		k.arrivals.drop(in.uid)
		return nil, refuse(http.StatusConflict, "%w", err)
	case err != nil:
		k.arrivals.drop(in.uid)
		return nil, err
	}
	in.sparse, in.poolType = filePools[pool.Type], pool.Type
	if offer.Format == libvirt.FormatQCOW2 && !in.sparse {
		k.abandon(ctx, in)
		return nil, refuse(http.StatusConflict, "a pool of type %s has no qcow2 volumes: move the disk to a pool of files, or make a copy of it", pool.Type)
	}
	if offer.Format == libvirt.FormatRaw && offer.Length > offer.Capacity {
		k.abandon(ctx, in)
		return nil, refuse(http.StatusBadRequest, "a raw volume of %d bytes is longer than it can be", offer.Capacity)
	}
	err = k.Storage.CreateVolume(ctx, in.pool, libvirt.NewVolume{Name: in.volume, Format: offer.Format, Capacity: offer.Capacity})
	if err != nil {
		k.abandon(ctx, in)
		return nil, err
	}
	return &moveAccepted{}, nil
}

// prepareReceiving promises the disk room in a pool of the host, removes what is
// left there of an attempt, and marks the volume as being made. The mark stays
// until the disk is at home here: what has one is not whole unless its status says
// so. Errors: moveError.
func (k *Keeper) prepareReceiving(ctx context.Context, d *v1alpha1.VirtualDisk, pool string, bytes int64) (*libvirt.Pool, error) {
	if !k.swept.Load() {
		return nil, moveError{errors.New("its vm-executor has just been started")}
	}
	p, allocatable, ok := k.pools.get(pool)
	if !ok {
		return nil, moveError{fmt.Errorf("host %s has no active storage pool %s: define and start it there", k.Node, pool)}
	}
	if why := unfitPool(d, p.Type); why != "" {
		return nil, moveError{errors.New(why)}
	}
	whole, err := k.volume(ctx, pool, d.VolumeName())
	if err != nil {
		return nil, err
	}
	mark, err := k.volumeNow(ctx, pool, d.VolumeName()+k.mark())
	if err != nil {
		return nil, err
	}
	if whole != nil && mark == nil {
		return nil, moveError{fmt.Errorf("storage pool %s of host %s has a whole volume %s already, which may be newer: move it away, or remove it", pool, k.Node, d.VolumeName())}
	}
	all, _ := k.Disks.Disks(ctx)
	if !k.ledger.receive(d.UID, pool, all, allocatable, bytes) {
		return nil, moveError{fmt.Errorf("storage pool %s of host %s has less than %s for it: free some there", pool, k.Node, capacity.Bytes(bytes))}
	}
	if err := k.markThere(ctx, pool, d); err != nil {
		k.ledger.received(d.UID)
		return nil, err
	}
	if whole != nil {
		if err := k.Storage.DeleteVolume(ctx, pool, d.VolumeName()); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// content takes what comes, and verifies the whole.
func (k *Keeper) content(ctx context.Context, d *v1alpha1.VirtualDisk, body io.Reader) (*moveAccepted, error) {
	in := k.arrivals.get(d.UID)
	if in == nil || in.id != d.Status.MoveTo.ID {
		return nil, refuse(http.StatusConflict, "it was not offered first")
	}
	if !in.busy.TryLock() {
		return nil, refuse(http.StatusConflict, "it is just taking it")
	}
	defer in.busy.Unlock()
	defer func() { k.arrivals.hear(in, k.Clock.Now()) }()
	frames := transfer.NewFrameReader(body)
	for in.offset < in.offer.Length {
		k.arrivals.hear(in, k.Clock.Now())
		length := min(k.segment, in.offer.Length-in.offset)
		next := &part{from: frames, left: length}
		if err := k.Storage.WriteVolume(ctx, in.pool, in.volume, in.offset, length, in.sparse, next); err != nil {
			return nil, k.broken(ctx, in, err, next.err)
		}
		in.offset += length
	}
	if _, _, err := frames.Next(1); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%w: there is more than was offered", transfer.ErrFrames)
		}
		return nil, k.broken(ctx, in, err, err)
	}
	if err := k.clear(ctx, in.pool, in.poolType, in.volume, in.offer.Length); err != nil {
		return nil, k.broken(ctx, in, err, nil)
	}
	sum := transfer.NewDigest()
	if err := k.Storage.ReadVolume(ctx, in.pool, in.volume, 0, in.offer.Length, sum); err != nil {
		return nil, k.broken(ctx, in, err, nil)
	}
	if !bytes.Equal(sum.Sum(), frames.Digest()) {
		k.abandon(ctx, in)
		return nil, refuse(http.StatusUnprocessableEntity, "what was stored is not what was sent, and was removed")
	}
	// Its size and format are looked at anew when the disk is at home here.
	if err := k.Storage.RefreshPool(ctx, in.pool); err != nil && !errors.Is(err, libvirt.ErrPoolBusy) {
		return nil, err
	}
	return &moveAccepted{Offset: in.offset}, nil
}

// broken is an error amid the content, of which received is what went wrong with
// what came: where the sender was cut off what is there is kept for it, and all else
// is begun anew.
func (k *Keeper) broken(ctx context.Context, in *arrival, err, received error) error {
	switch {
	case errors.Is(received, transfer.ErrFrames):
		k.abandon(ctx, in)
		return refuse(http.StatusBadRequest, "%w", received)
	case received != nil, ctx.Err() != nil:
		return refuse(http.StatusBadRequest, "what was sent was cut off")
	}
	k.abandon(ctx, in)
	return err
}

// abandon removes what there is of an arrival.
func (k *Keeper) abandon(ctx context.Context, in *arrival) {
	k.arrivals.drop(in.uid)
	k.undoReceiving(ctx, in.uid, in.pool, in.volume)
}

// undoReceiving removes what prepareReceiving has made, and what came after it.
func (k *Keeper) undoReceiving(ctx context.Context, uid types.UID, pool, volume string) {
	k.ledger.received(uid)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	err := k.Storage.DeleteVolume(ctx, pool, volume)
	if err == nil {
		err = k.Storage.DeleteVolume(ctx, pool, volume+k.mark())
	}
	if err != nil {
		// The next attempt does, or the next start.
		klog.FromContext(ctx).Info("What was begun of a disk that is moved here could not be removed", keyPool, pool, "volume", volume, keyError, err.Error())
	}
	k.Look()
}

// tidyArrivals forgets the disks that are at home here by now, and removes what
// there is of those that do not come any more.
func (k *Keeper) tidyArrivals(ctx context.Context) {
	for _, in := range k.arrivals.idle(k.Clock.Now().Add(-idleArrival)) {
		disk, err := k.read(ctx, in.key)
		if err != nil || !in.busy.TryLock() {
			continue
		}
		switch {
		case disk != nil && disk.UID == in.uid && (comesTo(disk, k.Node, in.id) || disk.Status.Leaving() && disk.Status.MoveTo.ID == in.id):
		case disk != nil && disk.UID == in.uid && disk.Status.NodeName == k.Node && disk.Pool() == in.pool:
			k.arrivals.drop(in.uid)
			k.ledger.received(in.uid)
		default:
			k.abandon(ctx, in)
		}
		in.busy.Unlock()
	}
}

// part is the next left bytes of what comes; it is a libvirt.ContentSource.
type part struct {
	from *transfer.FrameReader
	left int64
	// err is what went wrong with what comes.
	err error
}

// Next implements libvirt.ContentSource.
func (p *part) Next() ([]byte, int64, error) {
	if p.left == 0 {
		return nil, 0, io.EOF
	}
	data, hole, err := p.from.Next(p.left)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: there is less than was offered", transfer.ErrFrames)
	}
	p.err = err
	p.left -= int64(len(data)) + hole
	return data, hole, err
}
