package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	read := func(text string) (*Configuration, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadConfiguration(file)
	}
	got, err := read(`
hosts:
- nodeName: host-a
  kubeconfig: a.kubeconfig
  registerNode: true
  labels: {topology.kubernetes.io/zone: zone-a}
  reserve: {cpu: 500m, memory: 2Gi}
  cpuOvercommit: "4"
  consoleLogDir: consoles
- nodeName: host-b
  simulated:
    cpus: 4
    memory: 8Gi
    cells:
    - {id: 0, cpus: "0-1", memory: 4Gi, hugepages2Mi: 512, distances: [{cell: 1, distance: 21}]}
    - {id: 1, cpus: "2-3", memory: 4Gi, hugepages1Gi: 1, distances: [{cell: 0, distance: 21}]}
healthBindAddress: 127.0.0.1:9411
`)
	if err != nil {
		t.Fatal(err)
	}
	q := resource.MustParse
	want := &Configuration{
		Hosts: []HostConfiguration{
			{
				NodeName: "host-a", Kubeconfig: "a.kubeconfig", LibvirtURI: "qemu:///system", RegisterNode: true,
				Labels: map[string]string{"topology.kubernetes.io/zone": "zone-a"}, Reserve: ReserveConfiguration{CPU: q("500m"), Memory: q("2Gi")},
				CPUOvercommit: q("4"), DomainType: "auto", ConsoleLogDir: "consoles",
			},
			{
				NodeName: "host-b", CPUOvercommit: q("1"), DomainType: "auto",
				Simulated: &SimulatedConfiguration{CPUs: 4, Memory: q("8Gi"), Cells: []SimulatedCellConfiguration{
					{ID: 0, CPUs: "0-1", Memory: q("4Gi"), Hugepages2Mi: 512, Distances: []SimulatedDistanceConfiguration{{Cell: 1, Distance: 21}}},
					{ID: 1, CPUs: "2-3", Memory: q("4Gi"), Hugepages1Gi: 1, Distances: []SimulatedDistanceConfiguration{{Cell: 0, Distance: 21}}},
				}},
			},
		},
		HealthBindAddress: "127.0.0.1:9411",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })); diff != "" {
		t.Error(diff)
	}

	for name, c := range map[string]struct{ text, want string }{
		"no host":           {`hosts: []`, `hosts: Required value`},
		"an unknown field":  {`hosts: [{nodeName: a, libvirt: x}]`, `unknown field "hosts[0].libvirt"`},
		"a bad name":        {`hosts: [{nodeName: "A B"}]`, `hosts[0].nodeName: Invalid value`},
		"a name used twice": {`hosts: [{nodeName: a}, {nodeName: a}]`, `hosts[1].nodeName: Duplicate value`},
		"a bad domain type": {`hosts: [{nodeName: a, domainType: xen}]`, `hosts[0].domainType: Unsupported value`},
		"a negative ratio":  {`hosts: [{nodeName: a, cpuOvercommit: "-1"}]`, `hosts[0].cpuOvercommit: Invalid value`},
		"a bad reserve":     {`hosts: [{nodeName: a, reserve: {memory: "-1Gi"}}]`, `hosts[0].reserve.memory: Invalid value`},
		"a simulated host with a libvirt": {
			`hosts: [{nodeName: a, libvirtURI: "qemu:///system", simulated: {cpus: 1, memory: 1Gi}}]`, `hosts[0].libvirtURI: Forbidden`,
		},
		"cells that share a CPU": {
			`hosts: [{nodeName: a, simulated: {cpus: 2, memory: 2Gi, cells: [{id: 0, cpus: "0-1", memory: 1Gi}, {id: 1, cpus: "1", memory: 1Gi}]}}]`,
			`hosts[0].simulated.cells[1].cpus: Invalid value`,
		},
		"more hugepages than memory": {
			`hosts: [{nodeName: a, simulated: {cpus: 1, memory: 1Gi, cells: [{id: 0, cpus: "0", memory: 1Gi, hugepages1Gi: 2}]}}]`,
			`hosts[0].simulated.cells[0].memory: Invalid value`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %s", err, c.want)
			}
		})
	}
}
