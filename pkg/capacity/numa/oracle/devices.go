package oracle

import (
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func (t *Tally) device(address string) *v1alpha1.HostDevice {
	for i := range t.status.Devices {
		if t.status.Devices[i].Address == address {
			return &t.status.Devices[i]
		}
	}
	return nil
}

// Given are the devices that a VM in the cells gets: by addresses one after
// another, near the cells and then near none; and whether they are enough.
func (t *Tally) Given(r *Request, cells []v1alpha1.PlacedCell) ([]v1alpha1.PlacedDevice, bool) {
	bound := r.NUMA != "" && r.NUMA != v1alpha1.NUMANone
	chosen := map[string]string{}
	enough := true
	for _, ask := range r.Devices {
		left := max(ask.Count, 1)
		for _, near := range []bool{true, false} {
			for slot := range 10 {
				address := fmt.Sprintf("0000:%02x:00.0", slot)
				d := t.device(address)
				if left == 0 || d == nil || d.Name != ask.Name || t.devices[address] || chosen[address] != "" {
					continue
				}
				if bound && near != t.nearOneOf(d, cells) || bound && !near && !t.nearNone(d) {
					continue
				}
				chosen[address] = ask.Name
				left--
			}
		}
		enough = enough && left == 0
	}
	var out []v1alpha1.PlacedDevice
	for slot := range 10 {
		if address := fmt.Sprintf("0000:%02x:00.0", slot); chosen[address] != "" {
			out = append(out, v1alpha1.PlacedDevice{Name: chosen[address], Address: address})
		}
	}
	return out, enough
}

func (t *Tally) nearOneOf(d *v1alpha1.HostDevice, cells []v1alpha1.PlacedCell) bool {
	for _, c := range cells {
		if d.Cell != nil && *d.Cell == c.ID {
			return true
		}
	}
	return false
}

func (t *Tally) nearNone(d *v1alpha1.HostDevice) bool { return d.Cell == nil || *d.Cell == 99 }
