package libvirt

import (
	"context"
	"errors"
	"io"

	lv "libvirt.org/go/libvirt"
)

// Append implements Host.
func (c *connection) Append(ctx context.Context, pool, name string, offset int64, from io.Reader) error {
	doing := "writing to volume " + name
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			return streamed(conn, func(s *lv.Stream) error {
				// A length of 0 is as much as comes.
				if err := v.Upload(s, uint64(offset), 0, 0); err != nil {
					return err
				}
				var own error // which the binding tells of in words alone
				err := s.SendAll(func(_ *lv.Stream, n int) ([]byte, error) {
					if err := ctx.Err(); err != nil {
						return nil, err
					}
					buffer := make([]byte, n)
					got, err := io.ReadFull(from, buffer)
					if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
						err = nil
					}
					own = err
					return buffer[:got], err
				})
				if own != nil {
					return own
				}
				return err
			})
		})
	})
	return err
}
