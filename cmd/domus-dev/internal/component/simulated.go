package component

import (
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

type simulatedHost struct {
	CPUs        int               `json:"cpus"`
	Memory      string            `json:"memory"`
	Cells       []simulatedCell   `json:"cells"`
	Devices     []simulatedDevice `json:"devices"`
	CPUModels   []string          `json:"cpuModels"`
	CPUFeatures []string          `json:"cpuFeatures"`
	Firmware    []string          `json:"firmware"`
	SecureBoot  bool              `json:"secureBoot"`
}

type simulatedCell struct {
	ID           int                 `json:"id"`
	CPUs         string              `json:"cpus"`
	Siblings     []string            `json:"siblings"`
	Memory       string              `json:"memory"`
	Hugepages2Mi int                 `json:"hugepages2Mi"`
	Hugepages1Gi int                 `json:"hugepages1Gi"`
	Distances    []simulatedDistance `json:"distances"`
}

type simulatedDistance struct {
	Cell     int `json:"cell"`
	Distance int `json:"distance"`
}

type simulatedDevice struct {
	Address          string `json:"address"`
	Vendor           string `json:"vendor"`
	Product          string `json:"product"`
	PhysicalFunction string `json:"physicalFunction,omitempty"`
	Cell             int    `json:"cell"`
}

type offeredDevice struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
}

// Names under which simulated hosts offer devices.
const (
	DeviceGPU = "gpu"
	DeviceVF  = "vf"
)

// offered are the devices by name.
var offered = []offeredDevice{
	{Name: DeviceGPU, Vendor: "10de", Product: "20b0"},
	{Name: DeviceVF, Vendor: "8086", Product: "1889"},
}

// Models of CPUs: each simulated host has the older ones, every second one the
// newer ones too.
var (
	olderModels = []string{"EPYC", "EPYC-Rome"}
	newerModels = append(slices.Clone(olderModels), "EPYC-Milan")
)

// SimulatedExecutorConfig is for the one process that plays n hosts.
func SimulatedExecutorConfig(l layout.Layout, p Ports, n int) ([]byte, error) {
	c := executorConfig{
		StateDir:          l.Data(ExecutorSimulated),
		HealthBindAddress: Address(p.SimulatedHealth), MetricsBindAddress: Address(p.SimulatedMetrics),
	}
	for i := 1; i <= n; i++ {
		node := SimulatedNode(i)
		c.Hosts = append(c.Hosts, executorHost{
			NodeName: node, Kubeconfig: l.Kubeconfig(ExecutorName(node)), RegisterNode: true,
			Labels: hostLabels(KindSimulated, i), Devices: offered, Simulated: simulate(i),
		})
	}
	return yaml.Marshal(c)
}

// simulate is what the i-th host has: 64 CPUs, two to a core, and 256 GiB in two
// NUMA cells; two GPUs, both near cell 0; and near each cell a network card with
// two virtual functions.
func simulate(i int) *simulatedHost {
	models := olderModels
	if i%2 == 0 {
		models = newerModels
	}
	host := &simulatedHost{
		CPUs: 64, Memory: "256Gi",
		Devices: []simulatedDevice{
			{Address: "0000:41:00.0", Vendor: offered[0].Vendor, Product: offered[0].Product},
			{Address: "0000:61:00.0", Vendor: offered[0].Vendor, Product: offered[0].Product},
		},
		CPUModels: models, CPUFeatures: []string{"aes", "avx", "avx2", "sse4.2"},
		Firmware: []string{"bios", "efi"}, SecureBoot: true,
	}
	for cell, card := range []string{"0000:21:00", "0000:a1:00"} {
		first, second := 16*cell, 32+16*cell
		c := simulatedCell{
			ID: cell, CPUs: fmt.Sprintf("%d-%d,%d-%d", first, first+15, second, second+15), Memory: "128Gi",
			Hugepages2Mi: 8192, Hugepages1Gi: 16, Distances: []simulatedDistance{{Cell: 1 - cell, Distance: 20}},
		}
		for core := range 16 {
			c.Siblings = append(c.Siblings, fmt.Sprintf("%d,%d", first+core, second+core))
		}
		host.Cells = append(host.Cells, c)
		for function := 1; function <= 2; function++ {
			host.Devices = append(host.Devices, simulatedDevice{
				Address: fmt.Sprintf("%s.%d", card, function), Vendor: offered[1].Vendor, Product: offered[1].Product,
				PhysicalFunction: card + ".0", Cell: cell,
			})
		}
	}
	return host
}
