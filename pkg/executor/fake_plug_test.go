package executor

import (
	"context"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/libvirt"
)

// sockets are where guests have place for more.
var sockets = libvirt.Sockets{PCI: 4, VirtioSCSI: true, USB: true}

// diskOf reads a disk of a document.
func diskOf(x *libvirtxml.DomainDisk) libvirt.Disk {
	d := libvirt.Disk{Target: x.Target.Dev, Bus: x.Target.Bus, Device: x.Device, Serial: x.Serial, ReadOnly: x.ReadOnly != nil, Empty: x.Source == nil}
	if x.Alias != nil {
		d.Alias = x.Alias.Name
	}
	if x.Boot != nil {
		d.BootOrder = x.Boot.Order
	}
	if x.Source != nil && x.Source.File != nil {
		d.Empty = x.Source.File.File == ""
	}
	if x.Source != nil && x.Source.Volume != nil {
		d.Volume = libvirt.VolumeRef{Pool: x.Source.Volume.Pool, Name: x.Source.Volume.Volume}
	}
	return d
}

// setDisks has the domain have these, and is libvirt's word for it.
func (h *fakeHost) setDisks(uuid string, disks []libvirt.Disk) {
	d := h.domains[uuid]
	d.Disks, d.Volumes, d.Sockets = disks, nil, sockets
	for _, disk := range disks {
		if disk.Volume.Name != "" {
			d.Volumes = append(d.Volumes, disk.Volume)
		}
	}
	h.domains[uuid] = d
}

func readDisk(doc string) (libvirt.Disk, error) {
	var x libvirtxml.DomainDisk
	err := x.Unmarshal(doc)
	return diskOf(&x), err
}

func at(alias string) func(libvirt.Disk) bool {
	return func(d libvirt.Disk) bool { return d.Alias == alias }
}

// AttachDisk is done in the definition first, and the process may die between.
func (h *fakeHost) AttachDisk(_ context.Context, uuid, alias, doc string) error {
	disk, err := readDisk(doc)
	if err != nil {
		return err
	}
	err = h.change("define disk", func() error {
		if h.attachErr != nil {
			return h.attachErr
		}
		if h.defined == nil {
			h.defined = map[string]libvirt.Disk{}
		}
		h.defined[alias] = disk
		return nil
	})
	if err != nil {
		return err
	}
	return h.change("attach", func() error {
		d := h.domains[uuid]
		if !d.State.Active() || slices.ContainsFunc(d.Disks, at(alias)) {
			return nil
		}
		h.setDisks(uuid, append(slices.Clone(d.Disks), disk))
		return nil
	})
}

func (h *fakeHost) DetachDisk(_ context.Context, uuid, alias string) error {
	return h.change("detach", func() error {
		if h.keeps {
			return nil
		}
		h.givesUp(uuid, alias)
		return nil
	})
}

// givesUp is a guest that does so.
func (h *fakeHost) givesUp(uuid, alias string) {
	h.setDisks(uuid, slices.DeleteFunc(slices.Clone(h.domains[uuid].Disks), at(alias)))
}

func (h *fakeHost) ForgetDisks(_ context.Context, uuid, prefix string) error {
	return h.change("forget disks", func() error {
		for alias := range h.defined {
			if strings.HasPrefix(alias, prefix) && !slices.ContainsFunc(h.domains[uuid].Disks, at(alias)) {
				delete(h.defined, alias)
			}
		}
		return nil
	})
}

func (h *fakeHost) ChangeMedium(_ context.Context, uuid, doc string, force bool) error {
	disk, err := readDisk(doc)
	if err != nil {
		return err
	}
	return h.change("change medium", func() error {
		if h.locked && !force {
			return libvirt.ErrTrayLocked
		}
		disks := slices.Clone(h.domains[uuid].Disks)
		for i := range disks {
			if disks[i].Target == disk.Target {
				disks[i] = disk
			}
		}
		h.setDisks(uuid, disks)
		return nil
	})
}
