package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

// duplicate makes volume v in a pool from another volume of the host, of which
// format is believed whatever libvirt takes it for.
func (k *Keeper) duplicate(ctx context.Context, pool string, sparse bool, v libvirt.NewVolume, fromPool string, from *libvirt.Volume, copied *atomic.Int64) error {
	switch {
	case from.Format != libvirt.FormatRaw:
		return k.Storage.CopyVolume(ctx, pool, v, fromPool, from.Name)
	case v.Format != libvirt.FormatRaw:
		// libvirt converts what it takes for another format as that, with whatever
		// file of the host its first bytes name beneath. No guest writes it now.
		if err := k.Storage.RefreshPool(ctx, fromPool); err != nil {
			return err
		}
		now, err := k.Storage.Volume(ctx, fromPool, from.Name)
		if err != nil {
			return err
		}
		if now.Format != libvirt.FormatRaw || now.Backing != "" {
			return moveError{fmt.Errorf("volume %s is raw and begins like an image of format %s, which its guest has written: only a raw copy can be made of it, with spec.format raw", from.Name, now.Format)}
		}
		return k.Storage.CopyVolume(ctx, pool, v, fromPool, from.Name)
	}
	length, err := k.Storage.VolumeLength(ctx, fromPool, from.Name)
	if err != nil {
		return err
	}
	v.Capacity = max(v.Capacity, length)
	if err := k.Storage.CreateVolume(ctx, pool, v); err != nil {
		return err
	}
	err = k.pump(ctx, fromPool, from.Name, pool, v.Name, length, sparse, copied)
	if err == nil && sparse && v.Capacity > length {
		// A hole has cut it off.
		err = k.Storage.ResizeVolume(ctx, pool, v.Name, v.Capacity)
	}
	if err == nil {
		return nil
	}
	// As libvirt does with a copy that fails.
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	return errors.Join(err, k.Storage.DeleteVolume(cleaning, pool, v.Name))
}

// pump writes the first length bytes of a volume over those of another one.
func (k *Keeper) pump(ctx context.Context, fromPool, from, toPool, to string, length int64, sparse bool, copied *atomic.Int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	read := make(chan error, 1)
	go func() {
		frames := transfer.NewFrameWriter(writer)
		sum := transfer.NewDigest()
		err := k.Storage.ReadVolume(ctx, fromPool, from, 0, length, &tail{sum: sum, to: frames, at: copied})
		if err == nil {
			err = frames.Close(sum.Sum())
		}
		_ = writer.CloseWithError(err)
		read <- err
	}()
	err := k.Storage.WriteVolume(ctx, toPool, to, 0, length, sparse, &part{from: transfer.NewFrameReader(reader), left: length})
	if err == nil {
		_, err = io.Copy(io.Discard, reader) // the end of the frames
	}
	cancel()
	_ = reader.CloseWithError(io.ErrClosedPipe)
	if cause := <-read; cause != nil && !errors.Is(cause, io.ErrClosedPipe) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// stale are the types of pools whose new volumes have what was in old ones.
var stale = map[string]bool{"logical": true}

// clear overwrites with zeros what a new volume has behind its first bytes, where
// its pool gives out what others have left.
func (k *Keeper) clear(ctx context.Context, pool, poolType, name string, first int64) error {
	if !stale[poolType] {
		return nil
	}
	length, err := k.Storage.VolumeLength(ctx, pool, name)
	if err != nil || length <= first {
		return err
	}
	return k.Storage.WriteVolume(ctx, pool, name, first, length-first, false, &nothing{left: length - first})
}

// nothing is a hole of left bytes; it is a libvirt.ContentSource.
type nothing struct{ left int64 }

// Next implements libvirt.ContentSource. The pieces are small, so that whoever
// writes them notices when they are not wanted any more.
func (n *nothing) Next() ([]byte, int64, error) {
	hole := min(n.left, 16<<20)
	if n.left -= hole; hole == 0 {
		return nil, 0, io.EOF
	}
	return nil, hole, nil
}
