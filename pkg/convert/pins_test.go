package convert_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// twoCells is a host of CPUs 0-3 and 4-7 of which VMs have 2 and 6 to themselves.
var twoCells = convert.SharedCPUs{
	Cells: map[int32]cpuset.CPUSet{0: cpuset.New(0, 1, 3), 1: cpuset.New(4, 5, 7)},
	Taken: true,
}

func TestPins(t *testing.T) {
	nobody := convert.SharedCPUs{Cells: map[int32]cpuset.CPUSet{0: cpuset.New(0, 1, 2, 3), 1: cpuset.New(4, 5, 6, 7)}}
	tests := map[string]struct {
		cpu      int32
		cells    []v1alpha1.PlacedCell
		shared   convert.SharedCPUs
		vcpus    map[int]string
		emulator string
	}{
		"a floating guest is free while no CPU is taken": {cpu: 2, shared: nobody},
		"a floating guest keeps off the CPUs that are taken": {
			cpu: 2, shared: twoCells,
			vcpus: map[int]string{0: "0-1,3-5,7", 1: "0-1,3-5,7"}, emulator: "0-1,3-5,7",
		},
		"shared vCPUs stay in their cells though no CPU is taken": {
			cpu: 3, shared: nobody,
			cells: []v1alpha1.PlacedCell{{ID: 0, CPU: 2, Memory: 256 * mib}, {ID: 1, CPU: 1, Memory: 256 * mib}},
			vcpus: map[int]string{0: "0-3", 1: "0-3", 2: "4-7"}, emulator: "0-7",
		},
		"shared vCPUs stay in their cells and keep off the CPUs that are taken": {
			cpu: 1, shared: twoCells,
			cells: []v1alpha1.PlacedCell{{ID: 1, CPU: 1, Memory: 512 * mib}},
			vcpus: map[int]string{0: "4-5,7"}, emulator: "4-5,7",
		},
		"dedicated vCPUs have a CPU each and keep the emulator to themselves": {
			cpu: 3, shared: twoCells,
			cells: []v1alpha1.PlacedCell{{ID: 0, CPU: 1, CPUs: "2", Idle: "1"}, {ID: 1, CPU: 2, CPUs: "4,6"}},
			vcpus: map[int]string{0: "2", 1: "4", 2: "6"}, emulator: "2,4,6",
		},
		"a cell that the host lost leaves all that is shared": {
			cpu: 1, shared: twoCells,
			cells: []v1alpha1.PlacedCell{{ID: 9, CPU: 1, Memory: 512 * mib}},
			vcpus: map[int]string{0: "0-1,3-5,7"}, emulator: "0-1,3-5,7",
		},
		"a host that reports no CPUs confines nobody": {
			cpu: 1, shared: convert.SharedCPUs{Taken: true},
			cells: []v1alpha1.PlacedCell{{ID: 0, CPU: 1, Memory: 512 * mib}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			vcpus, emulator, err := convert.Pins(&v1alpha1.Placement{
				Granted: v1alpha1.GrantedResources{CPU: test.cpu, Memory: 512 * mib}, Cells: test.cells,
			}, test.shared)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.vcpus, vcpus); diff != "" {
				t.Error(diff)
			}
			if emulator != test.emulator {
				t.Errorf("emulator on %q, want %q", emulator, test.emulator)
			}
		})
	}
}

func TestPinsOfAPlacementThatContradictsItselfAreRefused(t *testing.T) {
	_, _, err := convert.Pins(&v1alpha1.Placement{
		Granted: v1alpha1.GrantedResources{CPU: 2, Memory: 1},
		Cells:   []v1alpha1.PlacedCell{{ID: 0, CPU: 1, CPUs: "0"}},
	}, twoCells)
	var invalid *convert.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("got %v, want an InvalidError", err)
	}
}
