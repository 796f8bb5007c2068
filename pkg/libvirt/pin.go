package libvirt

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/cpuset"
	lv "libvirt.org/go/libvirt"
)

// Pin implements Host. libvirt asks the kernel, not the guest's monitor.
func (c *connection) Pin(ctx context.Context, uuid string, vcpus map[int]string, emulator string) error {
	doing := "pinning domain " + uuid
	return c.change(ctx, pinning, uuid, doing, func(d *lv.Domain) error {
		conn, err := d.DomainGetConnect()
		if err != nil {
			return err
		}
		defer func() { _, _ = conn.Close() }()
		cpus, _, err := conn.GetCPUMap(0)
		if err != nil {
			return err
		}
		return unlessActive(d, false, func() error {
			for _, vcpu := range slices.Sorted(maps.Keys(vcpus)) {
				set, err := cpuMap(doing, vcpus[vcpu], len(cpus))
				if err != nil {
					return err
				}
				if err := d.PinVcpuFlags(uint(vcpu), set, lv.DOMAIN_AFFECT_LIVE); err != nil {
					return err
				}
			}
			if emulator == "" {
				return nil
			}
			set, err := cpuMap(doing, emulator, len(cpus))
			if err != nil {
				return err
			}
			return d.PinEmulator(set, lv.DOMAIN_AFFECT_LIVE)
		})
	})
}

// cpuMap turns CPUs in Linux list format into libvirt's map of the CPUs of a
// host that numbers them below total.
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
