package libvirt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// scratchPrefix begins the names of scratch domains, and scratchMark is in their
// metadata. One is defined for as long as snapshots in volumes without a guest are
// changed, since libvirt changes them of a domain's disks alone; it never runs, and
// nobody is told of it.
const (
	scratchPrefix = "domus-scratch-"
	scratchMark   = "https://domus.dev/v1alpha1/scratch"
)

// errScratch says of a domain that it is one of these.
var errScratch = errors.New("it is there for a moment only, for a snapshot's sake")

// isScratch says whether it is a scratch domain.
func isScratch(d *libvirtxml.Domain) bool {
	return d.Metadata != nil && strings.HasPrefix(d.Name, scratchPrefix) && strings.Contains(d.Metadata.XML, scratchMark)
}

// scratch is a scratch domain that has the files as its disks.
func scratch(name string, files []string) *libvirtxml.Domain {
	d := &libvirtxml.Domain{
		Type: "qemu", Name: scratchPrefix + name,
		Metadata: &libvirtxml.DomainMetadata{XML: "<scratch xmlns=\"" + scratchMark + "\"/>"},
		Memory:   &libvirtxml.DomainMemory{Value: 1024, Unit: "KiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: 1},
		OS:       &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm"}},
		Devices:  &libvirtxml.DomainDeviceList{},
	}
	for i, file := range files {
		d.Devices.Disks = append(d.Devices.Disks, libvirtxml.DomainDisk{
			Device: "disk", Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: FormatQCOW2},
			Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}},
			Target: &libvirtxml.DomainDiskTarget{Dev: scratchTarget(i), Bus: "virtio"},
		})
	}
	return d
}

// scratchTarget counts vda, vdb, ... vdz, vdaa: PCI has room for some 30.
func scratchTarget(i int) string {
	if i < 26 {
		return "vd" + string(rune('a'+i))
	}
	return "vd" + string(rune('a'+i/26-1)) + string(rune('a'+i%26))
}

// offline is a snapshot, of a domain that does not run, which is in all its disks.
func offline(name string, d *libvirtxml.Domain) *libvirtxml.DomainSnapshot {
	s := &libvirtxml.DomainSnapshot{
		Name: name, State: "shutoff", CreationTime: "1",
		Memory: &libvirtxml.DomainSnapshotMemory{Snapshot: "no"}, Disks: &libvirtxml.DomainSnapshotDisks{},
	}
	for _, disk := range d.Devices.Disks {
		s.Disks.Disks = append(s.Disks.Disks, libvirtxml.DomainSnapshotDisk{Name: disk.Target.Dev, Snapshot: "internal"})
	}
	return s
}

// withScratch runs fn with a scratch domain of the volumes, which is gone
// afterwards. One that was left by a process that died is replaced.
func (c *connection) withScratch(ctx context.Context, doing, name string, volumes []VolumeRef, fn func(d *lv.Domain, doc *libvirtxml.Domain) error) error {
	if len(volumes) == 0 {
		return nil
	}
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		var files []string
		for _, v := range volumes {
			file, err := pathOf(conn, v)
			if err != nil {
				return struct{}{}, err
			}
			files = append(files, file)
		}
		doc := scratch(name, files)
		if left, err := conn.LookupDomainByName(doc.Name); err == nil {
			err = discardScratch(left)
			_ = left.Free()
			if err != nil {
				return struct{}{}, err
			}
		}
		text, err := doc.Marshal()
		if err != nil {
			return struct{}{}, err
		}
		d, err := conn.DomainDefineXML(text)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = d.Free() }()
		return struct{}{}, errors.Join(fn(d, doc), discardScratch(d))
	})
	return err
}

func discardScratch(d *lv.Domain) error {
	return d.UndefineFlags(lv.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
}

// withNoted is withScratch where libvirt is told of the snapshot first.
func (c *connection) withNoted(ctx context.Context, doing, name string, volumes []VolumeRef, fn func(*lv.DomainSnapshot) error) error {
	return c.withScratch(ctx, doing, name, volumes, func(d *lv.Domain, doc *libvirtxml.Domain) error {
		s := offline(name, doc)
		defined, err := d.GetXMLDesc(0)
		if err != nil {
			return err
		}
		s.Domain = &libvirtxml.Domain{}
		if err := xml.Unmarshal([]byte(defined), s.Domain); err != nil {
			return err
		}
		text, err := s.Marshal()
		if err != nil {
			return err
		}
		noted, err := d.CreateSnapshotXML(text, lv.DOMAIN_SNAPSHOT_CREATE_REDEFINE)
		if err != nil {
			return err
		}
		defer func() { _ = noted.Free() }()
		return fn(noted)
	})
}

// SnapshotVolumes implements Host. QEMU gives two snapshots one name if asked.
func (c *connection) SnapshotVolumes(ctx context.Context, name string, volumes []VolumeRef) error {
	doing := "taking snapshot " + name
	for _, v := range volumes {
		has, err := c.hasSnapshot(ctx, v, name)
		if err != nil {
			return err
		}
		if has {
			return &Error{Doing: doing, Message: "volume " + v.Name + " has such a snapshot", kind: ErrVolumeExists}
		}
	}
	return c.withScratch(ctx, doing, name, volumes, func(d *lv.Domain, doc *libvirtxml.Domain) error {
		s := offline(name, doc)
		s.State, s.CreationTime = "", ""
		text, err := s.Marshal()
		if err != nil {
			return err
		}
		made, err := d.CreateSnapshotXML(text, 0)
		if err != nil {
			return err
		}
		return made.Free()
	})
}

// RevertVolumes implements Host.
func (c *connection) RevertVolumes(ctx context.Context, name string, volumes []VolumeRef) error {
	return c.withNoted(ctx, "going back to snapshot "+name, name, volumes, func(s *lv.DomainSnapshot) error { return s.RevertToSnapshot(0) })
}

// DeleteVolumeSnapshots implements Host. Of a disk that libvirt cannot delete it of
// it says nothing.
func (c *connection) DeleteVolumeSnapshots(ctx context.Context, name string, volumes []VolumeRef) error {
	doing := "deleting snapshot " + name
	var there []VolumeRef
	for _, v := range volumes {
		has, err := c.hasSnapshot(ctx, v, name)
		if err != nil {
			return err
		}
		if has {
			there = append(there, v)
		}
	}
	if err := c.withNoted(ctx, doing, name, there, func(s *lv.DomainSnapshot) error { return s.Delete(0) }); err != nil {
		return err
	}
	for _, v := range there {
		has, err := c.hasSnapshot(ctx, v, name)
		if err != nil {
			return err
		}
		if has {
			return &Error{Doing: doing, Message: "volume " + v.Name + " has it still: something else has the volume open, or it is damaged", kind: ErrWrongState}
		}
	}
	return nil
}

func (c *connection) hasSnapshot(ctx context.Context, v VolumeRef, name string) (bool, error) {
	names, err := c.VolumeSnapshots(ctx, v.Pool, v.Name)
	for _, n := range names {
		if n == name {
			return true, err
		}
	}
	return false, err
}

// VolumeSnapshots implements Host. It reads the image's own table, which QEMU writes
// anew, elsewhere in the image, before its head says where: under a guest the image
// is read again where that has happened meanwhile.
func (c *connection) VolumeSnapshots(ctx context.Context, pool, volume string) ([]string, error) {
	doing := "reading the snapshots in volume " + volume
	return stored(ctx, c, doing, func(conn *lv.Connect) ([]string, error) {
		for range 5 {
			names, steady, err := readSnapshots(conn, pool, volume)
			if err != nil || steady {
				return names, err
			}
		}
		return nil, &Error{Doing: doing, Message: "they keep changing", kind: ErrPoolBusy}
	})
}

// readSnapshots reads the table, and says whether it was the image's all the while.
func readSnapshots(conn *lv.Connect, pool, volume string) (names []string, steady bool, err error) {
	err = withVolume(conn, pool, volume, func(v *lv.StorageVol) error {
		head, err := readVolume(conn, v, 0, qcow2Head)
		if err != nil {
			return err
		}
		offset, entries, err := snapshotTable(head)
		if err != nil || entries == 0 {
			steady = true
			return err
		}
		for length := uint64(entries) * 256; ; length *= 4 {
			var table []byte
			if table, err = readVolume(conn, v, offset, length); err != nil {
				return err
			}
			names, err = snapshotNames(table, entries)
			if !errors.Is(err, errShort) || uint64(len(table)) < length {
				break
			}
		}
		again, reading := readVolume(conn, v, 0, qcow2Head)
		if reading != nil {
			return reading
		}
		if string(again) != string(head) {
			return nil
		}
		steady = true
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("volume %s: %w", volume, err)
	}
	return names, steady, nil
}

// readVolume reads bytes of a volume; fewer where it ends before.
func readVolume(conn *lv.Connect, v *lv.StorageVol, offset, length uint64) ([]byte, error) {
	var out []byte
	err := streamed(conn, func(s *lv.Stream) error {
		if err := v.Download(s, offset, length, 0); err != nil {
			return err
		}
		return s.RecvAll(func(_ *lv.Stream, data []byte) (int, error) {
			out = append(out, data...)
			return len(data), nil
		})
	})
	return out, err
}
