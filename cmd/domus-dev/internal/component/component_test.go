package component

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/pkg/executor"
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
			make:  func() ([]byte, error) { return RealExecutorConfig(l, ports, "auto") },
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
			config, err := executor.ReadConfiguration(path)
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
