package libvirt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/cpuset"
	lv "libvirt.org/go/libvirt"
)

// Pin implements Host.
func (c *connection) Pin(ctx context.Context, uuid string, vcpus map[int]string, emulator string) error {
	return c.pin(ctx, uuid, vcpus, emulator, lv.DOMAIN_AFFECT_LIVE, func(conn *lv.Connect) (int, error) {
		all, _, err := conn.GetCPUMap(0)
		return len(all), err
	})
}

// pin pins on a host that numbers its CPUs below total.
func (c *connection) pin(
	ctx context.Context, uuid string, vcpus map[int]string, emulator string,
	flags lv.DomainModificationImpact, total func(*lv.Connect) (int, error),
) error {
	doing := "pinning domain " + uuid
	return c.change(ctx, pinning, uuid, doing, func(d *lv.Domain) error {
		return unlessActive(d, false, func() error {
			conn, err := d.DomainGetConnect()
			if err != nil {
				return err
			}
			defer func() { _, _ = conn.Close() }()
			n, err := total(conn)
			if err != nil {
				return err
			}
			for _, vcpu := range slices.Sorted(maps.Keys(vcpus)) {
				cpus, err := cpuMap(doing, vcpus[vcpu], n)
				if err != nil {
					return err
				}
				if err := d.PinVcpuFlags(uint(vcpu), cpus, flags); err != nil {
					return err
				}
			}
			if emulator == "" {
				return nil
			}
			cpus, err := cpuMap(doing, emulator, n)
			if err != nil {
				return err
			}
			// First, so that a failure is seen by where the emulator still is.
			if err := pinIOThreads(d, cpus, flags); err != nil {
				return err
			}
			return d.PinEmulator(cpus, flags)
		})
	})
}

// pinIOThreads keeps the threads that serve disks where the emulator is. They
// are listed as they were defined: of a guest that runs, QEMU itself would be
// asked.
func pinIOThreads(d *lv.Domain, cpus []bool, flags lv.DomainModificationImpact) error {
	threads, err := d.GetIOThreadInfo(lv.DOMAIN_AFFECT_CONFIG)
	var e lv.Error
	if errors.As(err, &e) && (e.Code == lv.ERR_NO_SUPPORT || e.Code == lv.ERR_INVALID_ARG) {
		return nil // a driver, or a machine, that has none
	}
	if err != nil {
		return err
	}
	for _, thread := range threads {
		if err := d.PinIOThread(thread.IOThreadID, cpus, flags); err != nil {
			return err
		}
	}
	return nil
}

// cpuMap turns CPUs in Linux list format into libvirt's map of a host's CPUs.
func cpuMap(doing, cpus string, total int) ([]bool, error) {
	set, err := cpuset.Parse(cpus)
	switch {
	case err != nil:
		return nil, &Error{Doing: doing, Message: err.Error(), kind: ErrInvalidDomain}
	case set.IsEmpty():
		return nil, &Error{Doing: doing, Message: "no CPU is named", kind: ErrInvalidDomain}
	}
	out := make([]bool, total)
	for _, cpu := range set.List() {
		if cpu >= total {
			return nil, &Error{Doing: doing, Message: fmt.Sprintf("the host has no CPU %d", cpu), kind: ErrInvalidDomain}
		}
		out[cpu] = true
	}
	return out, nil
}
