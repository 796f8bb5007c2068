package component

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/pkg/executor/hostconfig"
)

// TestExecutorsAcceptTheirConfiguration asks vm-executor's own reader, which
// refuses unknown fields and hosts that do not add up.
func TestExecutorsAcceptTheirConfiguration(t *testing.T) {
	l := layout.Layout{Dir: "/srv/demo"}
	ports := Ports{RealHealth: 1, RealMetrics: 2, SimulatedHealth: 3, SimulatedMetrics: 4}
	tests := map[string]struct {
		make  func() ([]byte, error)
		nodes []string
	}{
		"of the real host": {
			make:  func() ([]byte, error) { return RealExecutorConfig(l, ports, "auto", []string{"bridge", "host-local"}) },
			nodes: []string{"real-1"},
		},
		"of simulated hosts": {
			make:  func() ([]byte, error) { return SimulatedExecutorConfig(l, ports, 2) },
			nodes: []string{"sim-001", "sim-002"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			content, err := tc.make()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := hostconfig.ReadConfiguration(path)
			if err != nil {
				t.Fatal(err)
			}
			var nodes []string
			for _, host := range config.Hosts {
				nodes = append(nodes, host.NodeName)
				if want := l.Kubeconfig(ExecutorName(host.NodeName)); host.Kubeconfig != want {
					t.Errorf("%s has kubeconfig %s, want %s", host.NodeName, host.Kubeconfig, want)
				}
			}
			if diff := cmp.Diff(tc.nodes, nodes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSimulatedHostsAreSpreadOverZones(t *testing.T) {
	got := map[string]int{}
	for i := 1; i <= 6; i++ {
		got[hostLabels(KindSimulated, i)["topology.kubernetes.io/zone"]]++
	}
	if diff := cmp.Diff(map[string]int{"zone-a": 2, "zone-b": 2, "zone-c": 2}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSimulatedHostsHaveWhatVMsCanBePlacedBy looks at one as vm-executor
// reports it.
func TestSimulatedHostsHaveWhatVMsCanBePlacedBy(t *testing.T) {
	type cell struct {
		cpus, cores int
		devices     map[string]int
	}
	for i, models := range map[int]int{1: 2, 2: 3} {
		content, err := SimulatedExecutorConfig(layout.Layout{Dir: "/srv/demo"}, Ports{}, i)
		if err != nil {
			t.Fatal(err)
		}
		config := &hostconfig.Configuration{}
		if err := yaml.UnmarshalStrict(content, config); err != nil {
			t.Fatal(err)
		}
		host := config.Hosts[i-1]
		if got := len(host.Simulated.CPUModels); got != models {
			t.Errorf("host %d has %d CPU models, want %d", i, got, models)
		}
		var got []cell
		for _, c := range host.Simulated.Cells {
			cpus, err := cpuset.Parse(c.CPUs)
			if err != nil {
				t.Fatal(err)
			}
			of := cell{cpus: cpus.Size(), cores: len(c.Siblings), devices: map[string]int{}}
			for _, d := range host.Simulated.Devices {
				for _, o := range host.Devices {
					if *d.Cell == c.ID && d.Vendor == o.Vendor && d.Product == o.Product {
						of.devices[o.Name]++
					}
				}
			}
			got = append(got, of)
		}
		want := []cell{
			{cpus: 32, cores: 16, devices: map[string]int{DeviceGPU: 2, DeviceVF: 2}},
			{cpus: 32, cores: 16, devices: map[string]int{DeviceVF: 2}},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(cell{})); diff != "" {
			t.Errorf("host %d: %s", i, diff)
		}
	}
}
