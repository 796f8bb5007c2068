package libvirt

import (
	"context"
	"errors"
	"strings"

	lv "libvirt.org/go/libvirt"
)

// Power changes what a running guest does without ending it for good. A domain
// that is in the wanted state already is left as it is.
type Power interface {
	// Suspend halts the CPUs of a running guest; its memory stays. A domain
	// without a guest is left as it is. Errors: ErrNotFound.
	Suspend(ctx context.Context, uuid string) error
	// Resume lets the CPUs of a paused guest go on. Errors: ErrNotFound,
	// ErrWrongState when the guest does not run or suspended itself.
	Resume(ctx context.Context, uuid string) error
	// Save writes the guest's memory to the host's disk and ends the guest: a
	// managed save, from which Start goes on, CPUs running. It lasts as long as
	// the host takes to write the memory; a save that is given up on with ctx
	// goes on in libvirt until AbortJob. A domain without a guest is left as it
	// is. Errors: ErrNotFound; ErrWrongState also for a guest that suspended
	// itself.
	Save(ctx context.Context, uuid string) error
	// AbortJob ends the job that goes on in a domain, such as a Save, whose guest
	// runs on. Where no job goes on it does nothing. Errors: ErrNotFound.
	AbortJob(ctx context.Context, uuid string) error
	// CheckSave reads the head of what Save wrote: libvirt's Start throws away
	// what it finds incomplete and boots the guest from its disks. It is success
	// where there is nothing saved, and where this libvirt cannot tell. Errors:
	// ErrNotFound, ErrTimeout, ErrUnavailable; any other says that the saved
	// memory cannot be used.
	CheckSave(ctx context.Context, uuid string) error
	// DiscardSave removes what Save wrote. Where there is nothing it is success.
	DiscardSave(ctx context.Context, uuid string) error
}

// Suspend implements Host.
func (c *connection) Suspend(ctx context.Context, uuid string) error {
	return c.change(ctx, asking, uuid, "pausing domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error { return unlessState(d, lv.DOMAIN_PAUSED, d.Suspend) })
	})
}

// Resume implements Host.
func (c *connection) Resume(ctx context.Context, uuid string) error {
	return c.change(ctx, asking, uuid, "resuming domain "+uuid, func(d *lv.Domain) error {
		return needsReset("resuming domain "+uuid, unlessState(d, lv.DOMAIN_RUNNING, d.Resume))
	})
}

// needsReset finds QEMU's refusal among what libvirt says of a Resume, for which
// neither has a code: what libvirt knows of such a guest is that it is paused.
// Source: qmp_cont of QEMU.
func needsReset(doing string, err error) error {
	var e lv.Error
	if errors.As(err, &e) && strings.Contains(e.Message, "Resetting the Virtual Machine is required") {
		return &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: ErrNeedsReset}
	}
	return err
}

// Save implements Host. The guest is to run when it is restored, whether it did
// when it was saved or not: what pauses it is decided anew then.
func (c *connection) Save(ctx context.Context, uuid string) error {
	return c.change(ctx, saving, uuid, "saving the memory of domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error { return d.ManagedSave(lv.DOMAIN_SAVE_RUNNING) })
	})
}

// AbortJob implements Host.
func (c *connection) AbortJob(ctx context.Context, uuid string) error {
	return c.change(ctx, aborting, uuid, "aborting the job of domain "+uuid, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error {
			err := d.AbortJob()
			var e lv.Error
			if errors.As(err, &e) && (e.Code == lv.ERR_OPERATION_INVALID || e.Code == lv.ERR_NO_SUPPORT) {
				return nil // no job goes on, or none ever does
			}
			return err
		})
	})
}

// CheckSave implements Host.
func (c *connection) CheckSave(ctx context.Context, uuid string) error {
	return c.change(ctx, altering, uuid, "reading the saved memory of domain "+uuid, func(d *lv.Domain) error {
		has, err := d.HasManagedSaveImage(0)
		if err != nil || !has {
			return err
		}
		_, err = d.ManagedSaveGetXMLDesc(0)
		var e lv.Error
		if errors.As(err, &e) && e.Code == lv.ERR_NO_SUPPORT {
			return nil
		}
		return err
	})
}

// DiscardSave implements Host.
func (c *connection) DiscardSave(ctx context.Context, uuid string) error {
	err := c.change(ctx, altering, uuid, "discarding the saved memory of domain "+uuid, func(d *lv.Domain) error {
		has, err := d.HasManagedSaveImage(0)
		if err != nil || !has {
			return err
		}
		return d.ManagedSaveRemove(0)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// unlessState runs fn unless the domain is in the state, also when it gets there
// by itself meanwhile.
func unlessState(d *lv.Domain, want lv.DomainState, fn func() error) error {
	is, _, err := d.GetState()
	if err != nil || is == want {
		return err
	}
	err = fn()
	if err == nil {
		return nil
	}
	if is, _, again := d.GetState(); again == nil && is == want {
		return nil
	}
	return err
}
