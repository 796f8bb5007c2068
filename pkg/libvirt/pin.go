package libvirt

import (
	"context"
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
			// As they were defined: of those that run QEMU itself would be asked.
			threads, err := d.GetIOThreadInfo(lv.DOMAIN_AFFECT_CONFIG)
			if err != nil {
				return err
			}
			for _, t := range threads {
				if err := d.PinIOThread(t.IOThreadID, cpus, flags); err != nil {
					return err
				}
			}
			return d.PinEmulator(cpus, flags)
		})
	})
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
