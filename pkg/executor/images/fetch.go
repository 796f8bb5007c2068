package images

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

// errUnneeded ends a fetch that nobody waits for any more.
var errUnneeded = errors.New("no disk waits for the image any more")

// checksumError says that bytes are others than the image's.
type checksumError struct{ algorithm, want, got string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("its %s is %s, and spec.checksum is %s: see to the source, or create an image with the checksum that it has", e.algorithm, e.got, e.want)
}

// roomError says that the pool has too little room. It is libvirt.ErrNoSpace.
type roomError struct{ needs, has int64 }

func (e *roomError) Error() string {
	return fmt.Sprintf("%s for it, and it needs %s", capacity.Bytes(max(e.has, 0)), capacity.Bytes(e.needs))
}

func (e *roomError) Unwrap() error { return libvirt.ErrNoSpace }

// sum is the checksum of an image as it comes.
type sum struct {
	hash hash.Hash
	n    int64
	// tell is called with the number of bytes so far.
	tell func(int64)
}

func newSum(algorithm string, tell func(int64)) *sum {
	s := &sum{hash: sha256.New(), tell: tell}
	if algorithm == "sha512" {
		s.hash = sha512.New()
	}
	return s
}

// Write implements io.Writer.
func (s *sum) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	if s.tell != nil {
		s.tell(s.n)
	}
	return s.hash.Write(p)
}

// first keeps the first headLength bytes of what is written to it.
type first []byte

// Write implements io.Writer.
func (f *first) Write(p []byte) (int, error) {
	*f = append(*f, p[:min(headLength-len(*f), len(p))]...)
	return len(p), nil
}

// holds says whether the bytes are those of the image.
func (s *sum) holds(image *v1alpha1.VirtualDiskImage) error {
	algorithm, want := image.ChecksumOf()
	if got := hex.EncodeToString(s.hash.Sum(nil)); want != "" && got != want {
		return &checksumError{algorithm: algorithm, want: want, got: got}
	}
	return nil
}

// busyRetry is when a pool is looked into again that libvirt is at work on.
const busyRetry = 2 * time.Second

// fetch fetches the image, or what is missing of it. What is there already is
// believed only if the checksum of all holds in the end; an image without one is
// fetched from its beginning.
func (k *Keeper) fetch(ctx context.Context, key libvirt.VolumeRef, w *work, in *Situation) error {
	for _, slots := range []chan struct{}{k.slotsOf(in.Image.Namespace), k.fetches} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer k.following(ctx, cancel, key, w, in)()

	from, err := k.originOf(w, in)
	if err != nil {
		return err
	}
	there := int64(0)
	if in.Volume != nil && in.Image.Spec.Checksum != "" {
		if there, err = k.lengthOf(ctx, key); err != nil {
			return err
		}
	}
	err = k.fetchFrom(ctx, key, w, in, from, there)
	if there > 0 && !in.Home && (errors.Is(err, errChanged) || isChecksum(err)) {
		// What was there was not the beginning of what there is now.
		klog.FromContext(ctx).Info("An image is fetched from its beginning", keyError, err.Error())
		err = k.fetchFrom(ctx, key, w, in, from, 0)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errUnneeded) {
		return cause
	}
	if err != nil && (!passes(err) || in.Image.Spec.Checksum == "" || isChecksum(err) || errors.Is(err, errChanged) || errors.Is(err, libvirt.ErrNoSpace)) {
		// It is not gone on with: give the room back.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
		defer cancel()
		if undone := k.Storage.DeleteVolume(undo, key.Pool, key.Name); undone != nil && ctx.Err() == nil {
			return fmt.Errorf("%w (and removing it failed: %w)", err, undone)
		}
	}
	return err
}

// originOf is where the bytes are to be had from now.
func (k *Keeper) originOf(w *work, in *Situation) (origin, error) {
	switch {
	case in.Home:
		if k.take(w, in.offer) {
			w.memory = Memory{} // what went wrong before is over
			return in.offer, nil
		}
		return nil, errBrokenOff
	case in.Image.Spec.Source.Upload != nil:
		return &peer{peers: k.Peers, image: in.Image, self: k.Node}, nil
	}
	return k.Origins.of(in.Image)
}

// slotsOf takes as many tokens as a namespace may have fetches.
func (k *Keeper) slotsOf(namespace string) chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	slots := k.ofNamespace[namespace]
	if slots == nil {
		slots = make(chan struct{}, maxNamespaceFetches)
		k.ofNamespace[namespace] = slots
	}
	return slots
}

func isChecksum(err error) bool {
	var sum *checksumError
	return errors.As(err, &sum)
}

// following has waiting disks told how far it is, and ends the fetch when none waits
// any more; until the returned function is called.
func (k *Keeper) following(ctx context.Context, cancel context.CancelCauseFunc, key libvirt.VolumeRef, w *work, in *Situation) func() {
	name := client.ObjectKeyFromObject(in.Image)
	k.mu.Lock()
	w.fetching, w.fetched, w.total = true, 0, 0
	k.mu.Unlock()
	k.tell(ctx, name)
	ended := make(chan struct{})
	ticker := k.Clock.NewTicker(tellEvery)
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-ticker.C():
			}
			now := k.Images.Image(ctx, name)
			waiting, all := k.waiting(ctx, name, key.Pool)
			if all && len(waiting) == 0 && !in.Home || now == nil || now.UID != in.Image.UID || now.DeletionTimestamp != nil {
				cancel(errUnneeded)
				return
			}
			k.tell(ctx, name)
		}
	}()
	return func() {
		close(ended)
		k.mu.Lock()
		defer k.mu.Unlock()
		w.fetching, w.fetched, w.total = false, 0, 0
	}
}

// fetchFrom fetches what comes after the bytes that are there.
func (k *Keeper) fetchFrom(ctx context.Context, key libvirt.VolumeRef, w *work, in *Situation, from origin, there int64) error {
	algorithm, _ := in.Image.ChecksumOf()
	progress := func(n int64) {
		k.mu.Lock()
		defer k.mu.Unlock()
		w.fetched = n
	}
	sum, head := newSum(algorithm, progress), first(nil)
	if there > 0 {
		if err := k.readBack(ctx, key, io.MultiWriter(sum, &head)); err != nil {
			return err
		}
		if sum.n != there {
			return errChanged
		}
	}
	source := &steady{ctx: ctx, origin: from, clock: k.Clock}
	defer source.close()
	offset, err := source.open(there)
	if err != nil {
		return err
	}
	if offset != there {
		// It cannot be had from there: what is there is not used.
		there, sum = 0, newSum(algorithm, progress)
	}
	rest := io.Reader(source)
	if there == 0 {
		// What is no image is not written at all: libvirt looks into its pools.
		head = make([]byte, headLength)
		n, err := io.ReadFull(source, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if head = head[:n]; n == 0 {
			return invalid("it is empty")
		}
		rest = io.MultiReader(bytes.NewReader(head), rest)
	}
	virtual, err := check(in.Image.Spec.Format, head)
	if err != nil {
		return err
	}
	if s := in.Image.Spec.Size; s != nil && virtual > 0 && s.Value() != virtual {
		return invalid("a guest sees %s of it, and spec.size is %s", capacity.Bytes(virtual), capacity.Bytes(s.Value()))
	}
	most := int64(-1)
	if s := in.Image.Spec.Size; s != nil && virtual == 0 {
		// A guest sees of a raw image as much as there is of it.
		if most = s.Value(); source.total >= 0 && source.total != most {
			return invalid("a guest sees %s of it, and spec.size is %s", capacity.Bytes(source.total), capacity.Bytes(most))
		}
		most -= there
	}
	room := k.Pools.Spare(ctx, key.Pool)
	if needs := source.total - there; needs > room {
		return &roomError{needs: needs, has: room}
	}
	k.mu.Lock()
	w.total = max(source.total, 0)
	k.mu.Unlock()
	if there == 0 {
		change, cancel := context.WithTimeout(ctx, changeTimeout)
		err := k.Storage.DeleteVolume(change, key.Pool, key.Name)
		if err == nil {
			err = k.Storage.CreateVolume(change, key.Pool, libvirt.NewVolume{Name: key.Name, Format: libvirt.FormatRaw})
		}
		cancel()
		if err != nil {
			return err
		}
	}
	began := k.Clock.Now()
	limited := &bounded{from: io.TeeReader(rest, sum), left: room, room: room, most: most}
	// The reader ends with ctx, and libvirt's stream with the reader.
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lookTimeout, cancel) })
	defer stop()
	if err := k.Storage.Append(writing, key.Pool, key.Name, there, limited); err != nil {
		return cmp.Or(limited.failed, err) // in the source's own words, where it is to blame
	}
	if source.total >= 0 && sum.n != source.total {
		return fmt.Errorf("there are %d bytes of %d", sum.n, source.total)
	}
	if err := sum.holds(in.Image); err != nil {
		return err
	}
	if err := k.refreshed(ctx, key, in, sum.n, virtual); err != nil {
		return err
	}
	k.Recorder.Eventf(in.Image, nil, corev1.EventTypeNormal, eventFetched, "Fetch", "Fetched %s into storage pool %s of %s, %s of them in %s",
		capacity.Bytes(sum.n), key.Pool, k.Node, capacity.Bytes(sum.n-there), k.Clock.Since(began).Round(time.Millisecond))
	return nil
}

// bounded reads no more than there is room for, nor than there may be.
type bounded struct {
	from       io.Reader
	left, room int64
	// most is how many more the image may have; -1 when that is not said.
	most int64
	// failed is why no more can be read; nil at the end.
	failed error
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.left -= int64(n)
	switch {
	case b.most >= 0 && b.room-b.left > b.most:
		err = invalid("a guest sees more of it than spec.size says")
	case b.left < 0:
		err = &roomError{needs: b.room - b.left, has: b.room}
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	}
	b.failed = err
	return 0, err
}

// lengthOf is how many bytes there are of the image; 0 when there is nothing.
func (k *Keeper) lengthOf(ctx context.Context, key libvirt.VolumeRef) (int64, error) {
	look, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	// libvirt's own idea of it is as old as its last look.
	if err := k.refresh(ctx, key.Pool); err != nil {
		return 0, err
	}
	v, err := k.volume(look, key.Pool, key.Name)
	if err != nil || v == nil {
		return 0, err
	}
	return v.Length, nil
}

// refresh has libvirt look into the pool, after whatever it is doing there: before
// that it takes the image for what it was when it was made, empty and raw.
func (k *Keeper) refresh(ctx context.Context, pool string) error {
	for {
		look, cancel := context.WithTimeout(ctx, changeTimeout)
		err := k.Storage.RefreshPool(look, pool)
		cancel()
		if !errors.Is(err, libvirt.ErrPoolBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-k.Clock.After(busyRetry):
		}
	}
}

// readBack reads what is there of the image.
func (k *Keeper) readBack(ctx context.Context, key libvirt.VolumeRef, to io.Writer) error {
	reading, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	return k.Storage.Download(reading, key.Pool, key.Name, to)
}

// refreshed holds what libvirt sees against what has been written.
func (k *Keeper) refreshed(ctx context.Context, key libvirt.VolumeRef, in *Situation, length, virtual int64) error {
	look, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if err := k.refresh(ctx, key.Pool); err != nil {
		return err
	}
	v, err := k.volume(look, key.Pool, key.Name)
	if err != nil {
		return err
	}
	if v == nil {
		return fmt.Errorf("volume %s was removed while it was written", key.Name)
	}
	if why := fits(in.Image, v); why != "" {
		return invalid("%s", why)
	}
	if virtual > 0 && v.Capacity != virtual {
		return invalid("its header says that a guest sees %d bytes of it, and libvirt says %d", virtual, v.Capacity)
	}
	if v.Length > 0 && v.Length != length {
		return fmt.Errorf("volume %s has %d bytes, and %d were written", key.Name, v.Length, length)
	}
	return nil
}

// verify holds a whole image against its object: a host that lost its power may not
// have what was written last. One that does not hold is removed, unless disks stand
// on it.
func (k *Keeper) verify(ctx context.Context, key libvirt.VolumeRef, in *Situation) error {
	why := fits(in.Image, in.Volume)
	err := error(nil)
	switch algorithm, want := in.Image.ChecksumOf(); {
	case why != "":
		err = invalid("%s", why)
	case want != "":
		sum := newSum(algorithm, nil)
		if err = k.readBack(ctx, key, sum); err == nil {
			err = sum.holds(in.Image)
		}
	}
	if errors.Is(err, libvirt.ErrUnsupported) {
		return nil // a simulated host keeps no bytes
	}
	if err == nil || in.InUse || why == "" && !isChecksum(err) {
		return err
	}
	klog.FromContext(ctx).Info("An image is not what it was and is fetched again", keyError, err.Error())
	if !k.mayRemove(key) {
		return errHeld
	}
	change, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return k.Storage.DeleteVolume(change, key.Pool, key.Name)
}
