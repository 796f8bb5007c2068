package libvirt

import (
	"context"
	"errors"
	"io"
	"time"

	lv "libvirt.org/go/libvirt"
)

// ContentSink takes the content of a volume as it is read, in order.
type ContentSink interface {
	io.Writer
	// Hole is n bytes that read as zeros and take no space.
	Hole(n int64) error
}

// ContentSource gives the content of a volume that is written, in order: data, or
// a hole of so many bytes. io.EOF ends it. The data is valid until the next call.
type ContentSource interface {
	Next() (data []byte, hole int64, err error)
}

const (
	// contentTimeout bounds one stream of a volume's content.
	contentTimeout = 24 * time.Hour
	// contentBuffer is how much is read at once; libvirt's messages hold a quarter
	// of a MiB.
	contentBuffer = 256 << 10
	// inHole is what a read says of a stream that is in a hole.
	inHole = -3
)

// streaming is a context for a stream, which its reader or writer ends by itself
// once ctx has ended: whoever asked for it is not answered before libvirt is done
// with the volume.
func streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), contentTimeout)
}

// VolumeLength implements Storage.
func (c *connection) VolumeLength(ctx context.Context, pool, name string) (int64, error) {
	doing := "measuring volume " + name
	return stored(ctx, c, doing, func(conn *lv.Connect) (int64, error) {
		var length int64
		err := withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			info, err := v.GetInfoFlags(lv.STORAGE_VOL_GET_PHYSICAL)
			if err != nil {
				return err
			}
			length = int64(info.Allocation)
			return nil
		})
		return length, err
	})
}

// ReadVolume implements Storage.
func (c *connection) ReadVolume(ctx context.Context, pool, name string, offset, length int64, to ContentSink) error {
	if length <= 0 {
		return nil // libvirt would take it for all
	}
	limited, cancel := streaming(ctx)
	defer cancel()
	_, err := stored(limited, c, "reading volume "+name, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			return streamed(conn, func(s *lv.Stream) error {
				if err := v.Download(s, uint64(offset), uint64(length), lv.STORAGE_VOL_DOWNLOAD_SPARSE_STREAM); err != nil {
					return err
				}
				return receiveContent(ctx, s, length, to)
			})
		})
	})
	return err
}

// receiveContent hands on what the stream gives, until it ends.
func receiveContent(ctx context.Context, s *lv.Stream, left int64, to ContentSink) error {
	buffer := make([]byte, contentBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.RecvFlags(buffer, lv.STREAM_RECV_STOP_AT_HOLE)
		switch {
		case errors.Is(err, io.EOF):
			if left > 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		case err != nil:
			return err
		case n == inHole:
			hole, err := s.RecvHole(0)
			if err != nil {
				return err
			}
			hole = min(hole, left)
			left -= hole
			if err := to.Hole(hole); err != nil {
				return err
			}
		case n > 0:
			left -= int64(n)
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
	}
}

// WriteVolume implements Storage.
func (c *connection) WriteVolume(ctx context.Context, pool, name string, offset, length int64, sparse bool, from ContentSource) error {
	if length <= 0 {
		return nil
	}
	limited, cancel := streaming(ctx)
	defer cancel()
	flags := lv.StorageVolUploadFlags(0)
	if sparse {
		flags = lv.STORAGE_VOL_UPLOAD_SPARSE_STREAM
	}
	_, err := stored(limited, c, "writing volume "+name, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			return streamed(conn, func(s *lv.Stream) error {
				if err := v.Upload(s, uint64(offset), uint64(length), flags); err != nil {
					return err
				}
				return sendContent(ctx, s, length, sparse, from)
			})
		})
	})
	return err
}

// sendContent writes left bytes into the stream.
func sendContent(ctx context.Context, s *lv.Stream, left int64, sparse bool, from ContentSource) error {
	zeros := make([]byte, contentBuffer)
	all := func(data []byte) error {
		for len(data) > 0 {
			n, err := s.Send(data[:min(len(data), contentBuffer)])
			if err != nil {
				return err
			}
			data = data[n:]
		}
		return nil
	}
	for left > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, hole, err := from.Next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		left -= int64(len(data)) + hole
		if hole > 0 && sparse {
			err = s.SendHole(hole, 0)
		}
		for ; hole > 0 && !sparse && err == nil; hole -= min(hole, contentBuffer) {
			err = all(zeros[:min(hole, contentBuffer)])
		}
		if err == nil {
			err = all(data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
