package numa

import (
	"fmt"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// pinSets are a placed cell's CPU sets.
type pinSets struct{ cpus, idle cpuset.CPUSet }

// parsePins reads the CPU sets of cells; nil when there are none.
func parsePins(cells []v1alpha1.PlacedCell) ([]pinSets, error) {
	var pins []pinSets
	for i := range cells {
		if cells[i].CPUs == "" && cells[i].Idle == "" {
			continue
		}
		cpus, err := cpuset.Parse(cells[i].CPUs)
		if err != nil {
			return nil, fmt.Errorf("reading cpus %q of cell %d: %w", cells[i].CPUs, cells[i].ID, err)
		}
		idle, err := cpuset.Parse(cells[i].Idle)
		if err != nil {
			return nil, fmt.Errorf("reading idle %q of cell %d: %w", cells[i].Idle, cells[i].ID, err)
		}
		if pins == nil {
			pins = make([]pinSets, len(cells))
		}
		pins[i] = pinSets{cpus: cpus, idle: idle}
	}
	return pins, nil
}
