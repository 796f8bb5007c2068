package numa

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// drawForeign lets domains of others use some of the cells, seldom more than
// they have.
func drawForeign(t *rapid.T, status *v1alpha1.HypervisorStatus) {
	for i := range status.Cells {
		c := &status.Cells[i]
		if rapid.IntRange(0, 3).Draw(t, "foreign") != 0 {
			continue
		}
		var pinned []string
		for _, cpu := range strings.Split(c.CPUs, ",") {
			if cpu != "" && rapid.IntRange(0, 2).Draw(t, "pinned") == 0 {
				pinned = append(pinned, cpu)
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "pinned outside") == 0 {
			pinned = append(pinned, "999")
		}
		c.Foreign = &v1alpha1.ForeignUse{
			CPUs:         strings.Join(pinned, ","),
			Memory:       rapid.Int64Range(0, 6).Draw(t, "foreign memory") * mib,
			Hugepages2Mi: rapid.Int64Range(0, 3).Draw(t, "foreign 2Mi pages"),
			Hugepages1Gi: rapid.Int64Range(0, 2).Draw(t, "foreign 1Gi pages"),
		}
	}
}

// drawDevices offers up to 10 devices of two names, near cells or none. A cell
// that is not reported is none.
func drawDevices(t *rapid.T, status *v1alpha1.HypervisorStatus) {
	var near []*int32
	for i := range status.Cells {
		near = append(near, &status.Cells[i].ID)
	}
	elsewhere := int32(99)
	near = append(near, nil, &elsewhere)
	for _, slot := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}).Draw(t, "slots")[:rapid.IntRange(0, 10).Draw(t, "devices offered")] {
		status.Devices = append(status.Devices, v1alpha1.HostDevice{
			Name:    rapid.SampledFrom([]string{"gpu", "gpu", "nic"}).Draw(t, "device name"),
			Address: fmt.Sprintf("0000:%02x:00.0", slot),
			Cell:    rapid.SampledFrom(near).Draw(t, "near"),
		})
	}
}

func (t *tally) device(address string) *v1alpha1.HostDevice {
	for i := range t.status.Devices {
		if t.status.Devices[i].Address == address {
			return &t.status.Devices[i]
		}
	}
	return nil
}

// given are the devices that a VM in the cells gets: by addresses one after
// another, near the cells and then near none; and whether they are enough.
func (t *tally) given(r *Request, cells []v1alpha1.PlacedCell) ([]v1alpha1.PlacedDevice, bool) {
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

func (t *tally) nearOneOf(d *v1alpha1.HostDevice, cells []v1alpha1.PlacedCell) bool {
	for _, c := range cells {
		if d.Cell != nil && *d.Cell == c.ID {
			return true
		}
	}
	return false
}

func (t *tally) nearNone(d *v1alpha1.HostDevice) bool { return d.Cell == nil || *d.Cell == 99 }
