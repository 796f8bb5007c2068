package libvirt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// HotPlug changes the disks of a guest that runs. A domain without a guest is left
// as it is: what it is started with next is defined anew. Disks are told apart by
// their aliases. All may be repeated, whatever was done before. Errors of all:
// ErrNotFound, ErrTimeout, ErrUnavailable, ErrUnsupported, and libvirt's own.
type HotPlug interface {
	// AttachDisk plugs the disk of the document in, in the domain's definition first
	// and then in the guest: so whoever asks which volumes a domain has is never
	// told too few.
	AttachDisk(ctx context.Context, uuid, alias, doc string) error
	// DetachDisk asks the guest to give the disk up, and does not wait for it:
	// EventUnplugged tells when it has. The definition keeps the disk until
	// ForgetDisks.
	DetachDisk(ctx context.Context, uuid, alias string) error
	// ForgetDisks removes from the definition what begins with the prefix and the
	// guest has no more.
	ForgetDisks(ctx context.Context, uuid, prefix string) error
	// ChangeMedium puts what the document says into the drive of its target. Unless it
	// is forced, a guest that has locked the tray is asked to open it, and keeps its
	// medium where it does not within a few seconds, which is ErrTrayLocked.
	ChangeMedium(ctx context.Context, uuid, doc string, force bool) error
}

// ErrTrayLocked says that the guest has locked the tray of a CD-ROM drive.
var ErrTrayLocked = errors.New("the guest has locked the tray")

// AttachDisk implements Host.
func (c *connection) AttachDisk(ctx context.Context, uuid, alias, doc string) error {
	return c.plug(ctx, uuid, "plugging a disk into domain "+uuid, func(d *lv.Domain) error {
		for _, where := range []struct {
			flags lv.DomainXMLFlags
			in    lv.DomainDeviceModifyFlags
		}{{lv.DOMAIN_XML_INACTIVE, lv.DOMAIN_DEVICE_MODIFY_CONFIG}, {0, lv.DOMAIN_DEVICE_MODIFY_LIVE}} {
			has, err := aliases(d, where.flags)
			if err != nil {
				return err
			}
			if has[alias] {
				continue
			}
			if err := d.AttachDeviceFlags(doc, where.in); err != nil {
				return err
			}
		}
		return nil
	})
}

// DetachDisk implements Host.
func (c *connection) DetachDisk(ctx context.Context, uuid, alias string) error {
	return c.plug(ctx, uuid, "unplugging a disk from domain "+uuid, func(d *lv.Domain) error {
		has, err := aliases(d, 0)
		if err != nil || !has[alias] {
			return err
		}
		err = d.DetachDeviceAlias(alias, lv.DOMAIN_DEVICE_MODIFY_LIVE)
		if isCode(err, lv.ERR_DEVICE_MISSING) {
			return nil // it was given up meanwhile
		}
		return err
	})
}

// ForgetDisks implements Host.
func (c *connection) ForgetDisks(ctx context.Context, uuid, prefix string) error {
	return c.plug(ctx, uuid, "removing disks from the definition of domain "+uuid, func(d *lv.Domain) error {
		live, err := aliases(d, 0)
		if err != nil {
			return err
		}
		defined, err := aliases(d, lv.DOMAIN_XML_INACTIVE)
		if err != nil {
			return err
		}
		for alias := range defined {
			if live[alias] || !strings.HasPrefix(alias, prefix) {
				continue
			}
			if err := d.DetachDeviceAlias(alias, lv.DOMAIN_DEVICE_MODIFY_CONFIG); err != nil && !isCode(err, lv.ERR_DEVICE_MISSING) {
				return err
			}
		}
		return nil
	})
}

// ChangeMedium implements Host.
func (c *connection) ChangeMedium(ctx context.Context, uuid, doc string, force bool) error {
	flags := lv.DOMAIN_DEVICE_MODIFY_LIVE | lv.DOMAIN_DEVICE_MODIFY_CONFIG
	if force {
		flags |= lv.DOMAIN_DEVICE_MODIFY_FORCE
	}
	doing := "changing a medium of domain " + uuid
	return c.plug(ctx, uuid, doing, func(d *lv.Domain) error {
		err := d.UpdateDeviceFlags(doc, flags)
		var e lv.Error
		// libvirt has no code for it. Source: src/qemu/qemu_hotplug.c,
		// qemuHotplugWaitForTrayEject and qemuDomainChangeMediaBlockdev.
		if errors.As(err, &e) && !force && strings.Contains(e.Message, "tray") {
			return &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: ErrTrayLocked}
		}
		return err
	})
}

// plug runs fn on a domain that has a guest. It asks the guest's monitor.
func (c *connection) plug(ctx context.Context, uuid, doing string, fn func(*lv.Domain) error) error {
	return c.change(ctx, asking, uuid, doing, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error { return fn(d) })
	})
}

// aliases are those of the disks of a guest, or of its domain's definition.
func aliases(d *lv.Domain, flags lv.DomainXMLFlags) (map[string]bool, error) {
	doc, err := d.GetXMLDesc(flags)
	if err != nil {
		return nil, err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(doc); err != nil {
		return nil, fmt.Errorf("reading the domain's document: %w", err)
	}
	out := map[string]bool{}
	for _, disk := range disksOf(&x) {
		out[disk.Alias] = true
	}
	return out, nil
}

// disksOf lists a domain's disks.
func disksOf(d *libvirtxml.Domain) (out []Disk) {
	if d.Devices == nil {
		return nil
	}
	for i := range d.Devices.Disks {
		x := &d.Devices.Disks[i]
		disk := Disk{Device: x.Device, Serial: x.Serial, ReadOnly: x.ReadOnly != nil, Empty: x.Source == nil}
		if disk.Device == "" {
			disk.Device = "disk"
		}
		if x.Alias != nil {
			disk.Alias = x.Alias.Name
		}
		if x.Target != nil {
			disk.Target, disk.Bus = x.Target.Dev, x.Target.Bus
		}
		if x.Boot != nil {
			disk.BootOrder = x.Boot.Order
		}
		switch s := x.Source; {
		case s == nil:
		case s.Volume != nil:
			disk.Volume = VolumeRef{Pool: s.Volume.Pool, Name: s.Volume.Volume}
			disk.Empty = s.Volume.Volume == ""
		case s.File != nil:
			disk.Empty = s.File.File == ""
		case s.Block != nil:
			disk.Empty = s.Block.Dev == ""
		}
		out = append(out, disk)
	}
	return out
}

// socketsOf finds where devices can be plugged in. On a PCI Express machine that
// is a root or downstream port with nothing in it: what is on the root complex is
// there for good.
func socketsOf(d *libvirtxml.Domain, doc string) Sockets {
	out := Sockets{PCI: -1}
	if d.Devices == nil {
		return out
	}
	ports, express := map[uint]bool{}, false
	for i := range d.Devices.Controllers {
		x := &d.Devices.Controllers[i]
		switch {
		case x.Type == "usb" && x.Model != "none":
			out.USB = true
		case x.Type == "scsi" && strings.HasPrefix(x.Model, "virtio"):
			out.VirtioSCSI = true
		case x.Type == "pci" && x.Model == "pcie-root":
			express = true
		case x.Type == "pci" && (x.Model == "pcie-root-port" || x.Model == "pcie-switch-downstream-port") && x.Index != nil:
			ports[*x.Index] = true
		}
	}
	if !express {
		return out
	}
	for bus := range usedBuses(doc) {
		delete(ports, bus)
	}
	out.PCI = len(ports)
	return out
}

// usedBuses are the PCI buses on which the document has a device of the guest's: the
// addresses of devices of all kinds, but not those of the host's that they come from.
func usedBuses(doc string) map[uint]bool {
	out := map[uint]bool{}
	decoder := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := decoder.Token()
		if err != nil {
			return out // it has been read before: this is its end
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local == "source" || start.Name.Local == "metadata":
			if decoder.Skip() != nil {
				return out
			}
		case start.Name.Local == "address":
			attributes := map[string]string{}
			for _, a := range start.Attr {
				attributes[a.Name.Local] = a.Value
			}
			if bus, err := strconv.ParseUint(attributes["bus"], 0, 32); err == nil && attributes["type"] == "pci" {
				out[uint(bus)] = true
			}
		}
	}
}
