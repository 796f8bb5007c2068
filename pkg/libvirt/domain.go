package libvirt

import (
	"context"
	"errors"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Domains implements Host.
func (c *connection) Domains(ctx context.Context) ([]Domain, error) {
	return call(ctx, c, "listing domains", func(conn *lv.Connect) ([]Domain, error) {
		all, err := conn.ListAllDomains(0)
		if err != nil {
			return nil, err
		}
		out := make([]Domain, 0, len(all))
		var failed error
		for i := range all {
			d, err := observe(&all[i])
			_ = all[i].Free()
			var e lv.Error
			switch {
			case err == nil:
				out = append(out, d)
			case errors.Is(err, errScratch):
			case errors.As(err, &e) && e.Code == lv.ERR_NO_DOMAIN:
				// It went away while we listed.
			case failed == nil:
				failed = err
			}
		}
		if failed != nil {
			return nil, failed
		}
		return out, nil
	})
}

// Domain implements Host.
func (c *connection) Domain(ctx context.Context, uuid string) (Domain, error) {
	return call(ctx, c, "looking up domain "+uuid, func(conn *lv.Connect) (Domain, error) {
		d, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return Domain{}, err
		}
		defer func() { _ = d.Free() }()
		found, err := observe(d)
		if errors.Is(err, errScratch) {
			err = &Error{Doing: "looking up domain " + uuid, Message: err.Error(), kind: ErrNotFound}
		}
		return found, err
	})
}

// Define implements Host. The document is checked against libvirt's schema,
// since its parser passes over what it does not know.
func (c *connection) Define(ctx context.Context, xml string) error {
	return c.define(ctx, xml, lv.DOMAIN_DEFINE_VALIDATE)
}

func (c *connection) define(ctx context.Context, xml string, flags lv.DomainDefineFlags) error {
	const doing = "defining a domain"
	_, err := call(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		d, err := conn.DomainDefineXMLFlags(xml, flags)
		if err != nil {
			var e lv.Error
			// libvirt 9.0.0 says 'operation failed' for a name or UUID in use.
			if errors.As(err, &e) && e.Code == lv.ERR_OPERATION_FAILED {
				err = &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: ErrAlreadyExists}
			}
			return struct{}{}, err
		}
		return struct{}{}, d.Free()
	})
	return err
}

// Start implements Host.
func (c *connection) Start(ctx context.Context, uuid string) error {
	return c.change(ctx, altering, uuid, "starting domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, true, d.Create)
	})
}

// Shutdown implements Host.
func (c *connection) Shutdown(ctx context.Context, uuid string) error {
	return c.change(ctx, asking, uuid, "shutting down domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error {
			err := d.ShutdownFlags(lv.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
			var e lv.Error
			if errors.As(err, &e) && (e.Code == lv.ERR_NO_SUPPORT || e.Code == lv.ERR_INVALID_ARG) {
				return d.Shutdown() // drivers with one way only
			}
			return err
		})
	})
}

// Destroy implements Host. It is what frees a domain whose monitor is stuck, so
// it waits for no other kind of change.
func (c *connection) Destroy(ctx context.Context, uuid string) error {
	err := c.change(ctx, destroying, uuid, "destroying domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, false, d.Destroy)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Undefine implements Host.
func (c *connection) Undefine(ctx context.Context, uuid string) error {
	err := c.change(ctx, altering, uuid, "undefining domain "+uuid, func(d *lv.Domain) error {
		// Without flags for them, libvirt refuses a domain with NVRAM, and keeps a
		// TPM's state where the domain says persistent_state.
		all := lv.DOMAIN_UNDEFINE_MANAGED_SAVE | lv.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
			lv.DOMAIN_UNDEFINE_NVRAM | lv.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
		err := d.UndefineFlags(all | lv.DOMAIN_UNDEFINE_TPM)
		var e lv.Error
		if errors.As(err, &e) && e.Code == lv.ERR_INVALID_ARG {
			err = d.UndefineFlags(all) // before libvirt 8.9
		}
		if errors.As(err, &e) && e.Code == lv.ERR_INVALID_ARG {
			// Drivers that keep neither NVRAM nor checkpoints.
			err = d.UndefineFlags(lv.DOMAIN_UNDEFINE_MANAGED_SAVE | lv.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
		}
		if errors.As(err, &e) && (e.Code == lv.ERR_NO_SUPPORT || e.Code == lv.ERR_INVALID_ARG) {
			return d.Undefine() // drivers that have none of these
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// unlessActive runs fn unless the domain is already where fn would bring it,
// also when it gets there by itself meanwhile.
func unlessActive(d *lv.Domain, want bool, fn func() error) error {
	is, err := d.IsActive()
	if err != nil || is == want {
		return err
	}
	err = fn()
	if err == nil {
		return nil
	}
	if is, again := d.IsActive(); again == nil && is == want {
		return nil
	}
	return err
}

// observe reads a domain. None of these calls waits for the guest's monitor.
func observe(d *lv.Domain) (Domain, error) {
	doc, err := d.GetXMLDesc(0)
	if err != nil {
		return Domain{}, err
	}
	state, reason, err := d.GetState()
	if err != nil {
		return Domain{}, err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(doc); err != nil {
		return Domain{}, err
	}
	if isScratch(&x) {
		return Domain{}, errScratch
	}
	out := Domain{
		Name: x.Name, UUID: x.UUID, Agent: agentState(&x), Volumes: volumesOf(&x), Written: writtenOf(&x), Disks: disksOf(&x), Cards: cardsOf(&x),
		Sockets: socketsOf(&x, doc), TranslationCache: translationCache(&x),
	}
	if x.ID != nil {
		out.ID = *x.ID
	}
	out.State, out.Reason = stateOf(state, reason)
	if !out.State.Active() {
		if out.Saved, err = saved(d); err != nil {
			return Domain{}, err
		}
	}
	if x.Metadata != nil {
		out.Metadata = x.Metadata.XML
	}
	if x.VCPU != nil {
		out.CPU = int64(x.VCPU.Value)
		out.VCPUs = out.CPU
		if x.VCPU.Current != 0 {
			out.VCPUs = int64(x.VCPU.Current)
		}
	}
	if x.Memory != nil {
		out.Memory = int64(x.Memory.Value) * unitBytes(x.Memory.Unit)
	}
	out.CurrentMemory = out.Memory
	if x.CurrentMemory != nil {
		out.CurrentMemory = int64(x.CurrentMemory.Value) * unitBytes(x.CurrentMemory.Unit)
	}
	if b := x.MemoryBacking; b != nil && b.MemoryHugePages != nil {
		for _, page := range b.MemoryHugePages.Hugepages {
			out.PageSize = max(out.PageSize, int64(page.Size)*unitBytes(page.Unit))
		}
		if out.PageSize == 0 {
			out.PageSize = 2 << 20 // libvirt's default on most hosts; none is named
		}
	}
	out.Firmware = firmwareOf(&x)
	out.Binding = bindingOf(&x, out.Memory, max(out.PageSize, 1<<10))
	return out, nil
}

// saved says whether the domain's memory is saved. What a save left that never
// came to its end, as after a loss of the host's power, is not a guest's memory:
// libvirt would throw it away at the next start, without a word.
func saved(d *lv.Domain) (bool, error) {
	has, err := d.HasManagedSaveImage(0)
	switch {
	case isCode(err, lv.ERR_NO_SUPPORT):
		return false, nil
	case err != nil || !has:
		return false, err
	}
	_, err = d.ManagedSaveGetXMLDesc(0)
	var e lv.Error
	return !errors.As(err, &e) || !cutShort(e), nil
}

// cutShort says whether libvirt means that what it read of a save was never
// finished. It has no code for that: the words are those of
// src/qemu/qemu_saveimage.c. A libvirtd that speaks another language is not
// understood, and the memory then taken for one that cannot be restored, which is
// kept.
func cutShort(e lv.Error) bool {
	if e.Code != lv.ERR_OPERATION_FAILED {
		return false
	}
	return strings.Contains(e.Message, "save image is incomplete") || strings.Contains(e.Message, "failed to read qemu header")
}

func isCode(err error, code lv.ErrorNumber) bool {
	var e lv.Error
	return errors.As(err, &e) && e.Code == code
}
