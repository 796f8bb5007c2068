package hotplug

import (
	"fmt"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

// Compare finds how the guest differs from what is wanted. Its rules, for each
// disk:
//
//   - One that is not wanted any more is given up, before others are plugged in: it
//     may be wanted under another name.
//   - What a disk is to the guest (bus, type, serial number, ...) it stays until the
//     guest is started anew: nobody has a disk pulled from a guest for another serial
//     number.
//   - A disk that is to be another VirtualDisk is given up when that one can be had,
//     and plugged in anew.
//   - A drive gets another medium when that can be had.
//   - A disk that is not there is plugged in where its bus allows that.
func Compare(wanted Wanted, guest Guest) Comparison {
	c := comparison{wanted: wanted, sockets: guest.Sockets, has: map[string]*libvirt.Disk{}, volumes: map[libvirt.VolumeRef]bool{}}
	for i := range guest.Disks {
		d := &guest.Disks[i]
		if name, ours := convert.DiskOfAlias(d.Alias); ours {
			c.has[name] = d
		} else if d.Volume.Name != "" {
			c.foreign = append(c.foreign, d)
		}
		if d.Volume.Name != "" {
			c.volumes[d.Volume] = true
		}
	}
	named := map[string]bool{}
	for i := range wanted.Disks {
		named[wanted.Disks[i].Name] = true
	}
	for i := range guest.Disks {
		d := &guest.Disks[i]
		if name, ours := convert.DiskOfAlias(d.Alias); ours && !named[name] {
			c.unwanted(name, d)
		}
	}
	for i := range wanted.Disks {
		entry := &wanted.Disks[i]
		if d := c.has[entry.Name]; d != nil {
			c.there(entry, d)
		} else {
			c.missing(entry)
		}
	}
	c.Changes = slices.Concat(c.first, c.then)
	return c.Comparison
}

// comparison is one in the making.
type comparison struct {
	Comparison
	wanted  Wanted
	sockets libvirt.Sockets
	// has are the guest's disks by their names in spec.disks, foreign all others that
	// are volumes, and volumes what any of them is.
	has     map[string]*libvirt.Disk
	foreign []*libvirt.Disk
	volumes map[libvirt.VolumeRef]bool
	// first are the disks that are given up.
	first, then []Change
}

func (c *comparison) restart(name, field, why string) {
	at := "spec.disks[" + name + "]"
	if field != "" {
		at += "." + field
	}
	c.Restart = append(c.Restart, Restart{Field: at, Why: why})
}

// unwanted is a disk that the guest has and spec.disks has not.
func (c *comparison) unwanted(name string, d *libvirt.Disk) {
	if why := fixed(d.Device, d.Bus); why != "" {
		c.restart(name, "", why)
		return
	}
	c.first = append(c.first, Change{Action: Detach, Name: name, DiskName: diskOf(d), Target: d.Target})
}

// fixed says why a disk cannot be plugged in or out while the guest runs; empty
// where it can. libvirt (9.0, src/qemu/qemu_hotplug.c) does it for virtio, SCSI and
// USB.
func fixed(device, bus string) string {
	switch v1alpha1.DiskBus(bus) {
	case v1alpha1.BusVirtio, v1alpha1.BusSCSI, v1alpha1.BusUSB:
		return ""
	}
	return fmt.Sprintf("a %s on bus %s cannot be plugged in or out while the guest runs", device, bus)
}

// missing is a disk that spec.disks has and the guest has not.
func (c *comparison) missing(entry *v1alpha1.VirtualMachineDisk) {
	device, bus := convert.BusOf(entry)
	v, can := c.volume(entry)
	if can && v.Name != "" {
		for _, d := range c.foreign {
			if d.Volume == (libvirt.VolumeRef{Pool: v.Pool, Name: v.Name}) {
				return // plugged in by a Domus that gave no aliases
			}
		}
	}
	if why := fixed(string(device), string(bus)); why != "" {
		c.restart(entry.Name, "", why)
		return
	}
	if why := c.noSocket(bus); why != "" {
		c.restart(entry.Name, "", why)
		return
	}
	switch {
	case !can:
		c.later(entry)
	case v.Name != "" && c.volumes[libvirt.VolumeRef{Pool: v.Pool, Name: v.Name}]:
		c.Waits = append(c.Waits, Wait{Name: entry.Name, Why: fmt.Sprintf("the guest has VirtualDisk %s under another name, and is to give it up first", entry.DiskName)})
	default:
		if bus == v1alpha1.BusVirtio && c.sockets.PCI > 0 {
			c.sockets.PCI--
		}
		c.then = append(c.then, Change{Action: Attach, Name: entry.Name, DiskName: entry.DiskName, Entry: entry, Volume: v})
	}
}

// noSocket says why there is no place for another disk on the bus; empty where
// there is, or that is to be tried.
func (c *comparison) noSocket(bus v1alpha1.DiskBus) string {
	switch {
	case bus == v1alpha1.BusVirtio && c.sockets.PCI == 0:
		return "the guest has no PCI port left to plug it into"
	case bus == v1alpha1.BusSCSI && !c.sockets.VirtioSCSI:
		return "the guest has no virtio-scsi controller"
	case bus == v1alpha1.BusUSB && !c.sockets.USB:
		return "the guest has no USB controller"
	}
	return ""
}

// volume is what the entry is to be, an empty tray's being empty; false where it
// cannot be had now.
func (c *comparison) volume(entry *v1alpha1.VirtualMachineDisk) (convert.Volume, bool) {
	if entry.DiskName == "" {
		return convert.Volume{}, true
	}
	v, can := c.wanted.Volumes[entry.DiskName]
	return v, can
}

// later is a disk whose VirtualDisk cannot be had now.
func (c *comparison) later(entry *v1alpha1.VirtualMachineDisk) {
	if host, elsewhere := c.wanted.Elsewhere[entry.DiskName]; elsewhere {
		c.Restart = append(c.Restart, Restart{
			Field: "spec.disks[" + entry.Name + "]", Elsewhere: true,
			Why: fmt.Sprintf("VirtualDisk %s is on host %s", entry.DiskName, host),
		})
		return
	}
	c.Waits = append(c.Waits, Wait{Name: entry.Name, Why: c.wanted.Waits[entry.DiskName]})
}

// there is a disk that the guest has.
func (c *comparison) there(entry *v1alpha1.VirtualMachineDisk, d *libvirt.Disk) {
	device, bus := convert.BusOf(entry)
	v, can := c.volume(entry)
	at := len(c.Restart)
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"type", d.Device != string(device)},
		{"bus", d.Bus != string(bus)},
		{"serial", d.Serial != entry.Serial},
		{"bootOrder", d.BootOrder != uint(max(entry.BootOrder, 0))},
		{"readOnly", device == v1alpha1.DeviceDisk && can && d.ReadOnly != (v.ReadOnly || !entry.MayWrite())},
	} {
		if field.differs {
			c.restart(entry.Name, field.name, "")
		}
	}
	if len(c.Restart) > at && (d.Device != string(device) || d.Bus != string(bus)) {
		return // it is another device then
	}
	if c.same(entry, v, can, d) {
		return
	}
	switch {
	case !can:
		c.later(entry)
	case device == v1alpha1.DeviceCDROM:
		if v.Name != "" && c.volumes[libvirt.VolumeRef{Pool: v.Pool, Name: v.Name}] {
			c.Waits = append(c.Waits, Wait{Name: entry.Name, Why: fmt.Sprintf("the guest has VirtualDisk %s under another name, and is to give it up first", entry.DiskName)})
			return
		}
		c.then = append(c.then, Change{Action: ChangeMedium, Name: entry.Name, DiskName: entry.DiskName, Target: d.Target, Entry: entry, Volume: v})
	default:
		if why := fixed(d.Device, d.Bus); why != "" {
			c.restart(entry.Name, "diskName", why)
			return
		}
		c.first = append(c.first, Change{Action: Detach, Name: entry.Name, DiskName: diskOf(d), Target: d.Target})
	}
}

// same says whether the device is the VirtualDisk of its entry. One that is no
// volume may be an overlay of it, which a snapshot has put there: it is taken for
// the same.
func (c *comparison) same(entry *v1alpha1.VirtualMachineDisk, v convert.Volume, can bool, d *libvirt.Disk) bool {
	switch {
	case entry.DiskName == "" || d.Empty:
		return entry.DiskName == "" && d.Empty
	case d.Volume.Name == "":
		return true
	case can:
		return d.Volume == libvirt.VolumeRef{Pool: v.Pool, Name: v.Name}
	}
	namespace, name, ours := v1alpha1.DiskOfVolume(d.Volume.Name)
	return ours && namespace == c.wanted.Namespace && name == entry.DiskName
}
