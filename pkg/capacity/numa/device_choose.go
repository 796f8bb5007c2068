package numa

import (
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fitsDevices holds the devices of the request against all that the host has
// left, wherever they are.
func (u *Usage) fitsDevices(r *Request) bool {
	for n := range r.Devices {
		if wanted(&r.Devices[n]) > u.freeDevices(r.Devices[n].Name) {
			return false
		}
	}
	return true
}

// holdsDevices says whether the devices are there that the guest wants near the
// cells of set.
func (s *search) holdsDevices(set cellSet) bool {
	for n := range s.devices {
		if wanted(&s.devices[n]) > s.usage.near(s.usage.freeOf(s.devices[n].Name), set) {
			return false
		}
	}
	return true
}

// near is how many of the free devices, as freeOf has counted them, are near a
// cell of set or near none.
func (u *Usage) near(free []int32, set cellSet) int64 {
	if free == nil {
		return 0
	}
	total := int64(free[len(free)-1])
	for ; set != 0; set &= set - 1 {
		total += int64(free[set.first()])
	}
	return total
}

// pickDevices appends the indexes of the devices that a guest in the cells of
// set is given, ascending: of each name the lowest addresses, near the cells
// before near none; without a NUMA policy wherever they are.
func (u *Usage) pickDevices(r *Request, set cellSet, picked []int) []int {
	for n := range r.Devices {
		kind, found := u.host.kind(r.Devices[n].Name)
		if !found {
			continue
		}
		left := wanted(&r.Devices[n])
		if !r.bindsMemory() {
			picked, _ = u.pickKind(kind, left, ^cellSet(0), true, picked)
			continue
		}
		picked, left = u.pickKind(kind, left, set, false, picked)
		picked, _ = u.pickKind(kind, left, 0, true, picked)
	}
	slices.Sort(picked)
	return picked
}

// pickKind appends up to left free devices of a kind that are near the cells, or
// near none where that will do, and says how many are still wanted.
func (u *Usage) pickKind(kind int, left int64, cells cellSet, none bool, picked []int) ([]int, int64) {
	for i := range u.host.Devices {
		d := &u.host.Devices[i]
		if left == 0 {
			break
		}
		if d.kind != kind || u.devices.takers[i] > 0 {
			continue
		}
		if d.Cell == nearNone && none || d.Cell != nearNone && cells>>d.Cell&1 == 1 {
			picked = append(picked, i)
			left--
		}
	}
	return picked, left
}

// assignDevices are the devices that pickDevices picks, as a placement holds
// them.
func (u *Usage) assignDevices(r *Request, set cellSet) []v1alpha1.PlacedDevice {
	if len(r.Devices) == 0 {
		return nil
	}
	picked := u.pickDevices(r, set, nil)
	placed := make([]v1alpha1.PlacedDevice, len(picked))
	for n, i := range picked {
		d := &u.host.Devices[i]
		placed[n] = v1alpha1.PlacedDevice{Name: d.Name, Address: d.Address}
	}
	return placed
}
