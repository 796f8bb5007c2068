package numa

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// nearNone is the Cell of a device that is near none of the host's cells.
const nearNone = -1

// Device is a PCI device of a Host that a VM may be given whole.
type Device struct {
	// Name is what it is asked for by.
	Name string
	// Address is its PCI address on the host.
	Address string
	// Cell is the index in Host.Cells of the cell it is near to, -1 when it is
	// near none.
	Cell int

	// kind is the index of its Name in Host.kinds.
	kind int
}

// addDevices reads the devices that the host offers; cells are read already. A
// device near a cell that is not reported is near none.
func (h *Host) addDevices(reported []v1alpha1.HostDevice) error {
	if len(reported) == 0 {
		return nil
	}
	h.deviceAt = make(map[string]int, len(reported))
	for i := range reported {
		h.kinds = append(h.kinds, reported[i].Name)
	}
	slices.Sort(h.kinds)
	h.kinds = slices.Compact(h.kinds)
	for i := range reported {
		in := &reported[i]
		d := Device{Name: in.Name, Address: in.Address, Cell: nearNone}
		d.kind, _ = h.kind(in.Name)
		if in.Cell != nil {
			if cell, found := h.index(*in.Cell); found {
				d.Cell = cell
			}
		}
		h.Devices = append(h.Devices, d)
	}
	slices.SortFunc(h.Devices, func(a, b Device) int { return cmp.Compare(a.Address, b.Address) })
	for i := range h.Devices {
		address := h.Devices[i].Address
		if _, found := h.deviceAt[address]; found {
			return fmt.Errorf("reading devices: %s is reported twice", address)
		}
		h.deviceAt[address] = i
	}
	return nil
}

// kind finds the devices of a name.
func (h *Host) kind(name string) (int, bool) { return slices.BinarySearch(h.kinds, name) }

// wanted is how many devices are asked for: one where nothing is said, as in
// the API.
func wanted(d *v1alpha1.DeviceRequest) int64 { return max(int64(d.Count), 1) }

// deviceUsage is what VMs take of a host's devices.
type deviceUsage struct {
	// takers counts for each device who was given it; see cellUsage.takers.
	takers []int32
	// free counts the devices without takers: for each kind those near each
	// cell, and then those near none.
	free []int32
}

func newDeviceUsage(h *Host) deviceUsage {
	if len(h.Devices) == 0 {
		return deviceUsage{}
	}
	d := deviceUsage{
		takers: make([]int32, len(h.Devices)),
		free:   make([]int32, len(h.kinds)*(len(h.Cells)+1)),
	}
	for i := range h.Devices {
		d.free[h.freeAt(&h.Devices[i])]++
	}
	return d
}

// freeAt is where deviceUsage.free counts the device.
func (h *Host) freeAt(d *Device) int {
	cell := d.Cell
	if cell == nearNone {
		cell = len(h.Cells)
	}
	return d.kind*(len(h.Cells)+1) + cell
}

// freeOf counts the free devices of a name: near each cell by its index, and
// last near none. It is nil when the host has none of that name.
func (u *Usage) freeOf(name string) []int32 {
	kind, found := u.host.kind(name)
	if !found {
		return nil
	}
	n := len(u.host.Cells) + 1
	return u.devices.free[kind*n : (kind+1)*n]
}

// freeDevices is how many devices of a name the host has left, wherever.
func (u *Usage) freeDevices(name string) int64 {
	total := int64(0)
	for _, n := range u.freeOf(name) {
		total += int64(n)
	}
	return total
}

// takeDevices counts devices as taken. One that is gone takes nothing.
func (u *Usage) takeDevices(placed []v1alpha1.PlacedDevice, sign int32) {
	for n := range placed {
		if i, found := u.host.deviceAt[placed[n].Address]; found {
			u.takeDevice(i, sign)
		}
	}
}

func (u *Usage) takeDevice(i int, sign int32) {
	before := u.devices.takers[i]
	after := before + sign
	u.devices.takers[i] = after
	if (before > 0) != (after > 0) {
		u.devices.free[u.host.freeAt(&u.host.Devices[i])] -= sign
	}
}

// misplacedDevices says in words which devices of a placement the host does not
// offer, or which another VM has; empty when there are none.
func (u *Usage) misplacedDevices(placed []v1alpha1.PlacedDevice) string {
	var others []string
	for n := range placed {
		in := &placed[n]
		i, found := u.host.deviceAt[in.Address]
		if !found || u.host.Devices[i].Name != in.Name {
			return fmt.Sprintf("the host offers no device %s as %s: it has changed since the VM was placed", in.Address, in.Name)
		}
		if u.devices.takers[i] > 0 {
			others = append(others, in.Address)
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("device %s belongs to another VM alone", strings.Join(others, ", "))
	}
	return ""
}
