package libvirt

import (
	"context"
	"errors"
	"io"
)

// VolumeLength implements Storage.
func (s simulatedStorage) VolumeLength(ctx context.Context, pool, name string) (int64, error) {
	v, err := s.Volume(ctx, pool, name)
	return v.Capacity, err
}

// ReadVolume implements Storage: all is one hole.
func (s simulatedStorage) ReadVolume(ctx context.Context, pool, name string, offset, length int64, to ContentSink) error {
	v, err := s.Volume(ctx, pool, name)
	if err != nil {
		return err
	}
	there := min(length, v.Capacity-offset)
	if there > 0 {
		if err := to.Hole(there); err != nil {
			return err
		}
	}
	if there < length {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// WriteVolume implements Storage: what comes is forgotten.
func (s simulatedStorage) WriteVolume(ctx context.Context, pool, name string, _, length int64, _ bool, from ContentSource) error {
	if _, err := s.Volume(ctx, pool, name); err != nil {
		return err
	}
	for length > 0 {
		data, hole, err := from.Next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		length -= int64(len(data)) + hole
	}
	return nil
}
