package convert_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// fourCells is a host of four cells, each of four cores with two threads, of
// which VMs have CPUs 1 and 17 to themselves.
var fourCells = convert.SharedCPUs{
	Cells: map[int32]cpuset.CPUSet{
		0: cpuset.New(0, 2, 3, 16, 18, 19),
		1: cpuset.New(4, 5, 6, 7, 20, 21, 22, 23),
		2: cpuset.New(8, 9, 10, 11, 24, 25, 26, 27),
		3: cpuset.New(12, 13, 14, 15, 28, 29, 30, 31),
	},
	Taken: true,
}

// placed is a VM with the placement and the domain of the YAML on that host.
func placed(t *testing.T, placement, domain string) convert.Input {
	t.Helper()
	vm := machine(t, domain)
	vm.Status.Placement = &v1alpha1.Placement{}
	if err := yaml.UnmarshalStrict([]byte(placement), vm.Status.Placement); err != nil {
		t.Fatal(err)
	}
	in := input(vm)
	in.SharedCPUs = fourCells
	return in
}

func TestPlacementInXML(t *testing.T) {
	tests := map[string]struct{ placement, domain string }{
		"single-cell-hugepages-dedicated": {placement: `
nodeName: host-1
granted: {cpu: 4, memory: 4294967296, overhead: 152043520, pageSize: 1Gi}
cells:
- {id: 1, cpu: 4, memory: 4294967296, cpus: "4-5,20-21"}
`, domain: `
cpu: {mode: host-passthrough, topology: {sockets: 1, cores: 2, threads: 2}}
memoryBacking: {memoryNosharepages: true}
ioThreads: 3
ioThreadIDs: {ioThreads: [{id: 2}]}
`},
		"restricted-uneven": {placement: `
nodeName: host-1
granted: {cpu: 3, memory: 1610613737, overhead: 152043520}
cells:
- {id: 0, cpu: 2, memory: 805306368}
- {id: 1, cpu: 1, memory: 805307369}
`},
		"spread-over-four": {placement: `
nodeName: host-1
granted: {cpu: 8, memory: 2147483648, overhead: 152043520, pageSize: 2Mi}
cells:
- {id: 0, cpu: 2, memory: 536870912}
- {id: 1, cpu: 2, memory: 536870912}
- {id: 2, cpu: 2, memory: 536870912}
- {id: 3, cpu: 2, memory: 536870912}
`},
		"dedicated-apart": {placement: `
nodeName: host-1
granted: {cpu: 3, memory: 1073741824, overhead: 152043520}
cells:
- {id: 0, cpu: 2, memory: 536870912, cpus: "0,2", idle: "16,18"}
- {id: 2, cpu: 1, memory: 536870912, cpus: "8", idle: "24"}
`},
		"dedicated-without-numa": {placement: `
nodeName: host-1
granted: {cpu: 3, memory: 536870912, overhead: 152043520}
cells:
- {id: 0, cpu: 1, cpus: "3"}
- {id: 1, cpu: 2, cpus: "6,22"}
`},
		"shared-while-cpus-are-taken": {placement: `
nodeName: host-1
granted: {cpu: 2, memory: 536870912, overhead: 152043520}
`, domain: `ioThreads: 1`},
		"devices": {placement: `
nodeName: host-1
granted: {cpu: 1, memory: 536870912, overhead: 152043520}
cells:
- {id: 3, cpu: 1, memory: 536870912}
devices:
- {name: gpu, address: "0000:3b:00.0"}
- {name: 25g-vf, address: "0001:05:1f.7"}
`, domain: `devices: {hostdevs: [{managed: "yes", subsysPCI: {source: {address: {domain: 0, bus: 255, slot: 0, function: 0}}}}]}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			domain, err := convert.Domain(placed(t, test.placement, test.domain))
			if err != nil {
				t.Fatal(err)
			}
			got, err := convert.Marshal(domain)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".xml"), got+"\n")
		})
	}
}

func TestAPlacementThatContradictsItselfIsInvalid(t *testing.T) {
	const granted = `granted: {cpu: 2, memory: 1073741824, overhead: 0}`
	tests := map[string]struct{ placement, want string }{
		"vCPUs that do not add up": {
			granted + `, cells: [{id: 0, cpu: 1, cpus: "1"}]`,
			"status.placement.cells: Invalid value: 1: the cells' cpu must add up to granted.cpu, 2",
		},
		"more CPUs than vCPUs": {
			granted + `, cells: [{id: 0, cpu: 2, cpus: "1-3"}]`,
			`status.placement.cells[0].cpus: Invalid value: "1-3": must be one host CPU for each of the cell's 2 vCPUs`,
		},
		"a CPU for two vCPUs": {
			granted + `, cells: [{id: 0, cpu: 1, cpus: "1"}, {id: 1, cpu: 1, cpus: "1"}]`,
			`status.placement.cells[1].cpus: Invalid value: "1": CPUs 1 are used twice`,
		},
		"a CPU that is idle as well": {
			granted + `, cells: [{id: 0, cpu: 2, cpus: "1,5", idle: "4-5"}]`,
			`status.placement.cells[0].cpus: Invalid value: "1,5": CPUs 5 are used twice`,
		},
		"CPUs that are no list": {
			granted + `, cells: [{id: 0, cpu: 2, cpus: all}]`,
			`status.placement.cells[0].cpus: Invalid value: "all": must be host CPUs such as 0-3,8`,
		},
		"idle CPUs that are no list": {
			granted + `, cells: [{id: 0, cpu: 2, cpus: "1-2", idle: "3-"}]`,
			`status.placement.cells[0].idle: Invalid value: "3-": must be host CPUs such as 0-3,8`,
		},
		"memory that does not add up": {
			granted + `, cells: [{id: 0, cpu: 1, memory: 536870912}, {id: 1, cpu: 1, memory: 536870911}]`,
			"status.placement.cells: Invalid value: 1073741823: the cells' memory must add up to granted.memory, 1073741824 bytes",
		},
		"memory in some cells": {
			granted + `, cells: [{id: 0, cpu: 1, memory: 1073741824}, {id: 1, cpu: 1}]`,
			"status.placement.cells: Invalid value: 1: memory must be in each of the cells or in none",
		},
		"memory that rounds to nothing": {
			granted + `, cells: [{id: 0, cpu: 1, memory: 1073741823}, {id: 1, cpu: 1, memory: 1}]`,
			"status.placement.cells[1].memory: Invalid value: 1: is too little for a cell of the guest",
		},
		"a page that is split": {
			`granted: {cpu: 2, memory: 4194304, overhead: 0, pageSize: 2Mi}, cells: [{id: 0, cpu: 1, memory: 1048576}, {id: 1, cpu: 1, memory: 3145728}]`,
			"[status.placement.cells[0].memory: Invalid value: 1048576: must be whole pages of 2Mi",
		},
		"less than nothing": {
			granted + `, cells: [{id: 0, cpu: 3, memory: 1073741824}, {id: 1, cpu: -1}]`,
			"status.placement.cells[1].cpu: Invalid value: -1: must not be below 0",
		},
		"a cell twice": {
			granted + `, cells: [{id: 0, cpu: 1, cpus: "1"}, {id: 0, cpu: 1, cpus: "2"}]`,
			"status.placement.cells[1].id: Duplicate value: 0",
		},
		"a device at no address": {
			granted + `, devices: [{name: gpu, address: "0000:3b:20.0"}]`,
			`status.placement.devices[0].address: Invalid value: "0000:3b:20.0": must be a PCI address such as 0000:3b:00.0`,
		},
		"a device twice": {
			granted + `, devices: [{name: a, address: "0000:3b:00.0"}, {name: b, address: "0000:3b:00.0"}]`,
			`status.placement.devices[1].address: Duplicate value: "0000:3b:00.0"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := convert.Domain(placed(t, "{nodeName: host-1, "+test.placement+"}", ""))
			var invalid *convert.InvalidError
			if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
