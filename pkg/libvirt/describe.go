package libvirt

import (
	"context"
	"errors"
	"fmt"

	lv "libvirt.org/go/libvirt"
)

// Describe implements Host. Memory comes from NodeGetMemoryStats: NodeGetInfo
// was seen to report less than half of it.
func (c *connection) Describe(ctx context.Context) (Description, error) {
	return call(ctx, c, "describing the host", func(conn *lv.Connect) (Description, error) {
		doc, err := conn.GetCapabilities()
		if err != nil {
			return Description{}, err
		}
		out, err := parseCapabilities(doc)
		if err != nil {
			return Description{}, err
		}
		stats, err := conn.GetMemoryStats(lv.NODE_MEMORY_STATS_ALL_CELLS, 0)
		if err != nil {
			return Description{}, err
		}
		if !stats.TotalSet {
			return Description{}, fmt.Errorf("libvirt does not say how much memory the host has")
		}
		out.Memory = int64(stats.Total) << 10 // KiB
		// Where there is one cell it has all the host's memory, whatever the
		// topology says: it was seen to be as wrong as NodeGetInfo.
		if len(out.Cells) == 1 {
			out.Cells[0].Memory = out.Memory
		}
		for i := range out.DomainTypes {
			if t := &out.DomainTypes[i]; t.Arch == out.Arch {
				if err := describeGuests(conn, t); err != nil {
					return Description{}, err
				}
			}
		}
		if out.Devices, err = listDevices(conn); err != nil {
			return Description{}, err
		}
		out.LibvirtVersion, out.HypervisorVersion, err = versions(conn)
		return out, err
	})
}

// describeGuests adds what guests of a kind can have. A kind that libvirt does
// not describe any further, such as KVM where QEMU finds none, stays as it is.
func describeGuests(conn *lv.Connect, t *DomainType) error {
	const doing = "asking what guests can have"
	machine := capableMachine(t.Machines)
	doc, err := conn.GetDomainCapabilities("", t.Arch, machine, t.Type, 0)
	if err != nil {
		if err = explain(doing, err); errors.Is(err, ErrUnavailable) {
			return err
		}
		return nil
	}
	guests, err := parseDomainCapabilities(doc)
	if err != nil {
		return err
	}
	t.CPUModels, t.CPUFeatures = guests.cpuModels, guests.features
	t.Firmware, t.SecureBoot = guests.firmware, guests.secureBoot
	if guests.hostModel == "" {
		return nil
	}
	// Only the whole list answers whether a guest can have a feature: most come
	// with the model and are not named beside it.
	t.CPUFeatures = nil
	doc, err = conn.BaselineHypervisorCPU("", t.Arch, machine, t.Type, []string{guests.hostModel}, lv.CONNECT_BASELINE_CPU_EXPAND_FEATURES)
	if err != nil {
		if err = explain(doing, err); errors.Is(err, ErrUnavailable) {
			return err
		}
		return nil
	}
	t.CPUFeatures, err = parseCPUFeatures(doc)
	return err
}

func versions(conn *lv.Connect) (libvirt, hypervisor string, err error) {
	l, err := conn.GetLibVersion()
	if err != nil {
		return "", "", err
	}
	h, err := conn.GetVersion()
	if err != nil {
		return "", "", err
	}
	return version(l), version(h), nil
}

// FreePages implements Host.
func (c *connection) FreePages(ctx context.Context) ([]CellFree, error) {
	return call(ctx, c, "counting free hugepages", func(conn *lv.Connect) ([]CellFree, error) {
		doc, err := conn.GetCapabilities()
		if err != nil {
			return nil, err
		}
		d, err := parseCapabilities(doc)
		if err != nil {
			return nil, err
		}
		// libvirt refuses to count pages of a size that the host does not offer.
		var sizes []uint64 // KiB
		if d.Pages.Size2Mi > 0 {
			sizes = append(sizes, 2<<10)
		}
		if d.Pages.Size1Gi > 0 {
			sizes = append(sizes, 1<<20)
		}
		free := make([]CellFree, len(d.Cells))
		for i, cell := range d.Cells {
			free[i].Cell = cell.ID
			if len(sizes) == 0 {
				continue
			}
			counts, err := conn.GetFreePages(sizes, int(cell.ID), 1, 0)
			if err != nil {
				return nil, err
			}
			for j, n := range counts {
				if sizes[j] == 2<<10 {
					free[i].Pages.Size2Mi = int64(n)
				} else {
					free[i].Pages.Size1Gi = int64(n)
				}
			}
		}
		return free, nil
	})
}

func libVersion(conn *lv.Connect) (string, error) {
	n, err := conn.GetLibVersion()
	return version(n), err
}
