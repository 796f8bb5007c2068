package libvirt

import (
	"context"
	"errors"
	"fmt"

	lv "libvirt.org/go/libvirt"
)

// Resizing changes how much a running guest has, and in its definition what it is
// started with next. A domain without a guest is left as it is. Errors of all:
// ErrNotFound, ErrTimeout, ErrUnavailable, and libvirt's own.
type Resizing interface {
	// SetVCPUs plugs virtual CPUs in until the guest has so many, which may not be
	// above what it was started for. One that has as many or more is left as it
	// is: taking a vCPU away was seen to time out and to spoil what comes after.
	SetVCPUs(ctx context.Context, uuid string, cpus int64) error
	// SetMemory tells the guest's balloon how many bytes of memory to leave the
	// guest, rounded up to KiB. It does not wait for the guest to follow. Errors:
	// ErrWrongState where there is no balloon.
	SetMemory(ctx context.Context, uuid string, bytes int64) error
	// SetMetadata replaces what the domain's metadata holds of a namespace. The
	// element is given without it; libvirt adds it under the prefix. It is done for
	// a domain without a guest too.
	SetMetadata(ctx context.Context, uuid, element, prefix, namespace string) error
}

// SetVCPUs implements Host.
func (c *connection) SetVCPUs(ctx context.Context, uuid string, cpus int64) error {
	return c.change(ctx, asking, uuid, fmt.Sprintf("giving domain %s %d vCPUs", uuid, cpus), func(d *lv.Domain) error {
		return unlessActive(d, false, func() error {
			has, err := d.GetVcpusFlags(lv.DOMAIN_VCPU_LIVE)
			if err != nil || int64(has) >= cpus {
				return err
			}
			return d.SetVcpusFlags(uint(cpus), lv.DOMAIN_VCPU_LIVE|lv.DOMAIN_VCPU_CONFIG)
		})
	})
}

// SetMemory implements Host.
func (c *connection) SetMemory(ctx context.Context, uuid string, bytes int64) error {
	kib := uint64(bytes+1023) / 1024
	return c.change(ctx, asking, uuid, fmt.Sprintf("leaving domain %s %d KiB of memory", uuid, kib), func(d *lv.Domain) error {
		return unlessActive(d, false, func() error {
			// The test driver does not take both at once.
			if err := d.SetMemoryFlags(kib, lv.DOMAIN_MEM_LIVE); err != nil {
				return err
			}
			return d.SetMemoryFlags(kib, lv.DOMAIN_MEM_CONFIG)
		})
	})
}

// SetMetadata implements Host. libvirt keeps what runs and what is defined apart:
// they are written one after the other, the guest's first.
func (c *connection) SetMetadata(ctx context.Context, uuid, element, prefix, namespace string) error {
	return c.change(ctx, pinning, uuid, "writing the metadata of domain "+uuid, func(d *lv.Domain) error {
		impact := lv.DOMAIN_AFFECT_CONFIG
		active, err := d.IsActive()
		if err != nil {
			return err
		}
		if active {
			impact |= lv.DOMAIN_AFFECT_LIVE
		}
		err = d.SetMetadata(lv.DOMAIN_METADATA_ELEMENT, element, prefix, namespace, impact)
		if is, again := d.IsActive(); err != nil && active && again == nil && !is {
			return errors.Join(err, ErrWrongState) // it ended meanwhile
		}
		return err
	})
}
