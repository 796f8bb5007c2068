package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Volumes implements Host.
func (c *connection) Volumes(ctx context.Context, pool string) ([]Volume, error) {
	var out []Volume
	err := c.onPool(ctx, pool, "listing the volumes of storage pool "+pool, func(p *lv.StoragePool) error {
		volumes, err := p.ListAllStorageVolumes(0)
		if err != nil {
			return err
		}
		var found []Volume
		for i := range volumes {
			v, err := volumeOf(&volumes[i])
			_ = volumes[i].Free()
			if err == nil { // or it was deleted meanwhile
				found = append(found, v)
			}
		}
		slices.SortFunc(found, func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) })
		out = found
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Volume implements Host.
func (c *connection) Volume(ctx context.Context, pool, name string) (Volume, error) {
	doing := "looking for volume " + name
	return stored(ctx, c, doing, func(conn *lv.Connect) (Volume, error) {
		var out Volume
		err := withVolume(conn, pool, name, func(v *lv.StorageVol) (err error) {
			out, err = volumeOf(v)
			return err
		})
		return out, err
	})
}

// withVolume runs fn with a volume of a pool.
func withVolume(conn *lv.Connect, pool, name string, fn func(*lv.StorageVol) error) error {
	p, err := conn.LookupStoragePoolByName(pool)
	if err != nil {
		return err
	}
	defer func() { _ = p.Free() }()
	v, err := p.LookupStorageVolByName(name)
	if err != nil {
		return err
	}
	defer func() { _ = v.Free() }()
	return fn(v)
}

func (c *connection) onVolume(ctx context.Context, pool, name, doing string, fn func(*lv.StorageVol) error) error {
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, fn)
	})
	return err
}

func volumeOf(v *lv.StorageVol) (Volume, error) {
	doc, err := v.GetXMLDesc(0)
	if err != nil {
		return Volume{}, err
	}
	var d libvirtxml.StorageVolume
	if err := d.Unmarshal(doc); err != nil {
		return Volume{}, err
	}
	out := Volume{Name: d.Name, Format: FormatRaw}
	size := func(s *libvirtxml.StorageVolumeSize) int64 {
		if s == nil {
			return 0
		}
		return bytesOf(s.Value, s.Unit)
	}
	out.Capacity, out.Allocation, out.Length = size(d.Capacity), size(d.Allocation), size(d.Physical)
	if t := d.Target; t != nil {
		out.Path = t.Path
		if t.Format != nil {
			out.Format = t.Format.Type
		}
		if t.Timestamps != nil && d.Type == "file" {
			out.Modified = t.Timestamps.Mtime
		}
	}
	if d.BackingStore != nil {
		out.Backing = d.BackingStore.Path
	}
	return out, nil
}

// CreateVolume implements Host.
func (c *connection) CreateVolume(ctx context.Context, pool string, v NewVolume) error {
	doing := "creating volume " + v.Name
	return c.onPool(ctx, pool, doing, func(p *lv.StoragePool) error {
		doc, err := documentFor(p, v)
		if err != nil {
			return err
		}
		made, err := p.StorageVolCreateXML(doc, 0)
		if err != nil {
			return err
		}
		return made.Free()
	})
}

// CopyVolume implements Host.
func (c *connection) CopyVolume(ctx context.Context, pool string, v NewVolume, fromPool, from string) error {
	doing := fmt.Sprintf("copying volume %s to %s", from, v.Name)
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		var smaller bool
		err := withVolume(conn, fromPool, from, func(source *lv.StorageVol) error {
			info, err := source.GetInfo()
			if err != nil {
				return err
			}
			smaller = int64(info.Capacity) < v.Capacity
			p, err := conn.LookupStoragePoolByName(pool)
			if err != nil {
				return err
			}
			defer func() { _ = p.Free() }()
			doc, err := documentFor(p, v)
			if err != nil {
				return err
			}
			made, err := p.StorageVolCreateXMLFrom(doc, source, 0)
			if err != nil {
				return err
			}
			defer func() { _ = made.Free() }()
			if !smaller {
				return nil
			}
			// qemu-img convert gives a copy the size of its source.
			now, err := made.GetInfo()
			if err == nil && int64(now.Capacity) < v.Capacity {
				err = made.Resize(uint64(v.Capacity), 0)
			}
			if err == nil {
				return nil
			}
			// Too small, it is not what was asked for.
			if undo := made.Delete(0); undo != nil {
				return fmt.Errorf("%w (and removing it failed: %w)", err, undo)
			}
			return err
		})
		return struct{}{}, err
	})
	return err
}

// documentFor describes a volume of the pool. In a volume group it takes all of its
// space: libvirt would make one that does not as a snapshot of nothing, which breaks
// when it is full.
func documentFor(p *lv.StoragePool, v NewVolume) (string, error) {
	described, err := p.GetXMLDesc(0)
	if err != nil {
		return "", err
	}
	var d libvirtxml.StoragePool
	if err := d.Unmarshal(described); err != nil {
		return "", err
	}
	v.Preallocated = v.Preallocated || d.Type == "logical"
	return volumeDocument(v)
}

// volumeDocument describes a volume. Files of format qcow2 get the version that
// has been usual since 2012: libvirt's own default is the one before.
func volumeDocument(v NewVolume) (string, error) {
	bytes := func(n int64) *libvirtxml.StorageVolumeSize {
		return &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: uint64(n)}
	}
	d := libvirtxml.StorageVolume{
		Name: v.Name, Capacity: bytes(v.Capacity), Allocation: bytes(0),
		Target: &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: v.Format}},
	}
	if v.Preallocated {
		d.Allocation = bytes(v.Capacity)
	}
	if v.Format == FormatQCOW2 {
		d.Target.Compat = "1.1"
	}
	if v.Backing != "" {
		d.BackingStore = &libvirtxml.StorageVolumeBackingStore{
			Path: v.Backing, Format: &libvirtxml.StorageVolumeTargetFormat{Type: v.BackingFormat},
		}
	}
	return d.Marshal()
}

// ResizeVolume implements Host.
func (c *connection) ResizeVolume(ctx context.Context, pool, name string, capacity int64) error {
	return c.onVolume(ctx, pool, name, "resizing volume "+name, func(v *lv.StorageVol) error { return v.Resize(uint64(capacity), 0) })
}

// DeleteVolume implements Host.
func (c *connection) DeleteVolume(ctx context.Context, pool, name string) error {
	err := c.onVolume(ctx, pool, name, "deleting volume "+name, func(v *lv.StorageVol) error { return v.Delete(0) })
	if errors.Is(err, ErrNoVolume) {
		return nil
	}
	return err
}

// GrowDisk implements Host.
func (c *connection) GrowDisk(ctx context.Context, uuid, pool, name string, capacity int64) error {
	doing := fmt.Sprintf("growing volume %s under domain %s", name, uuid)
	return c.change(ctx, asking, uuid, doing, func(d *lv.Domain) error {
		doc, err := d.GetXMLDesc(0)
		if err != nil {
			return err
		}
		target, err := diskOf(doc, pool, name)
		if err != nil {
			return err
		}
		if target == "" {
			return &Error{Doing: doing, Message: "the guest has no such disk", kind: ErrNoVolume}
		}
		return explainStorage(doing, d.BlockResize(target, uint64(capacity), lv.DOMAIN_BLOCK_RESIZE_BYTES))
	})
}

// diskOf is the target of the disk that is the volume; empty when there is none.
func diskOf(doc, pool, volume string) (string, error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(doc); err != nil {
		return "", err
	}
	if d.Devices == nil {
		return "", nil
	}
	for _, disk := range d.Devices.Disks {
		if s := disk.Source; s != nil && s.Volume != nil && disk.Target != nil && s.Volume.Pool == pool && s.Volume.Volume == volume {
			return disk.Target.Dev, nil
		}
	}
	return "", nil
}

// Upload implements Host.
func (c *connection) Upload(ctx context.Context, pool, name string, from io.Reader, length int64) error {
	doing := "uploading to volume " + name
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			return streamed(conn, func(s *lv.Stream) error {
				if err := v.Upload(s, 0, uint64(length), 0); err != nil {
					return err
				}
				left := io.LimitReader(from, length)
				return s.SendAll(func(_ *lv.Stream, n int) ([]byte, error) {
					if err := ctx.Err(); err != nil {
						return nil, err
					}
					buffer := make([]byte, n)
					got, err := io.ReadFull(left, buffer)
					if err == io.EOF || err == io.ErrUnexpectedEOF {
						err = nil
					}
					return buffer[:got], err
				})
			})
		})
	})
	return err
}

// Download implements Host.
func (c *connection) Download(ctx context.Context, pool, name string, to io.Writer) error {
	doing := "downloading volume " + name
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		return struct{}{}, withVolume(conn, pool, name, func(v *lv.StorageVol) error {
			return streamed(conn, func(s *lv.Stream) error {
				if err := v.Download(s, 0, 0, 0); err != nil {
					return err
				}
				return s.RecvAll(func(_ *lv.Stream, data []byte) (int, error) {
					if err := ctx.Err(); err != nil {
						return 0, err
					}
					return to.Write(data)
				})
			})
		})
	})
	return err
}

// streamed runs fn with a stream, and finishes it or, after an error, aborts it.
func streamed(conn *lv.Connect, fn func(*lv.Stream) error) error {
	s, err := conn.NewStream(0)
	if err != nil {
		return err
	}
	defer func() { _ = s.Free() }()
	if err := fn(s); err != nil {
		_ = s.Abort()
		return err
	}
	return s.Finish()
}

// volumesOf lists a domain's disks that are volumes.
func volumesOf(d *libvirtxml.Domain) (out []VolumeRef) {
	if d.Devices == nil {
		return nil
	}
	for _, disk := range d.Devices.Disks {
		if s := disk.Source; s != nil && s.Volume != nil {
			out = append(out, VolumeRef{Pool: s.Volume.Pool, Name: s.Volume.Volume})
		}
	}
	return out
}
