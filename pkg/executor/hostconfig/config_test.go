package hostconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
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
    - {id: 0, cpus: "0-1", siblings: ["0,1"], memory: 4Gi, hugepages2Mi: 512, distances: [{cell: 1, distance: 21}]}
    - {id: 1, cpus: "2-3", memory: 4Gi, hugepages1Gi: 1, distances: [{cell: 0, distance: 21}]}
    devices:
    - {address: "0000:5e:02.0", vendor: "15b3", product: "1018", physicalFunction: "0000:5e:00.0", cell: 1}
    cpuModels: [EPYC]
    cpuFeatures: [avx2]
    firmware: [bios, efi]
    secureBoot: true
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
				CPUOvercommit: q("4"), DomainType: "auto", ConsoleLogDir: "consoles", SeedDir: DefaultSeedDir, QEMULogDir: "/var/log/libvirt/qemu", Mode: ModeDedicated,
			},
			{
				NodeName: "host-b", CPUOvercommit: q("1"), DomainType: "auto", Mode: ModeDedicated,
				Simulated: &SimulatedConfiguration{CPUs: 4, Memory: q("8Gi"), CPUModels: []string{"EPYC"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true, Devices: []SimulatedDeviceConfiguration{
					{Address: "0000:5e:02.0", Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0", Cell: ptr.To[int32](1)},
				}, Cells: []SimulatedCellConfiguration{
					{ID: 0, CPUs: "0-1", Siblings: []string{"0,1"}, Memory: q("4Gi"), Hugepages2Mi: 512, Distances: []SimulatedDistanceConfiguration{{Cell: 1, Distance: 21}}},
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
		"no host":                     {`hosts: []`, `hosts: Required value`},
		"an unknown field":            {`hosts: [{nodeName: a, libvirt: x}]`, `unknown field "hosts[0].libvirt"`},
		"a bad name":                  {`hosts: [{nodeName: "A B"}]`, `hosts[0].nodeName: Invalid value`},
		"a name too long for a label": {"hosts: [{nodeName: " + strings.Repeat("a", 64) + ", registerNode: true}]", `hosts[0].nodeName: Too long`},
		"a name used twice":           {`hosts: [{nodeName: a}, {nodeName: a}]`, `hosts[1].nodeName: Duplicate value`},
		"a certificate without a way to ask for it": {`hosts: [{nodeName: a, certificateDir: /pki}]`, `hosts[0].certificateDir: Forbidden`},
		"a certificate somewhere":                   {`hosts: [{nodeName: a, kubeconfig: /k, certificateDir: pki}]`, `hosts[0].certificateDir: Invalid value`},
		"a bad domain type":                         {`hosts: [{nodeName: a, domainType: xen}]`, `hosts[0].domainType: Unsupported value`},
		"a negative ratio":                          {`hosts: [{nodeName: a, cpuOvercommit: "-1"}]`, `hosts[0].cpuOvercommit: Invalid value`},
		"a bad reserve":                             {`hosts: [{nodeName: a, reserve: {memory: "-1Gi"}}]`, `hosts[0].reserve.memory: Invalid value`},
		"a simulated host with a libvirt": {
			`hosts: [{nodeName: a, libvirtURI: "qemu:///system", simulated: {cpus: 1, memory: 1Gi}}]`, `hosts[0].libvirtURI: Forbidden`,
		},
		"cells that share a CPU": {
			`hosts: [{nodeName: a, simulated: {cpus: 2, memory: 2Gi, cells: [{id: 0, cpus: "0-1", memory: 1Gi}, {id: 1, cpus: "1", memory: 1Gi}]}}]`,
			`hosts[0].simulated.cells[1].cpus: Invalid value`,
		},
		"threads that are no core of the cell": {
			`hosts: [{nodeName: a, simulated: {cpus: 2, memory: 2Gi, cells: [{id: 0, cpus: "0-1", siblings: ["1,2"], memory: 1Gi}]}}]`,
			`hosts[0].simulated.cells[0].siblings[0]: Invalid value`,
		},
		"a simulated device without its ids": {
			`hosts: [{nodeName: a, simulated: {cpus: 1, memory: 1Gi, devices: [{address: "0000:3b:00.0", vendor: "10de", product: "x"}]}}]`,
			`hosts[0].simulated.devices[0].product: Invalid value`,
		},
		"an unknown mode": {`hosts: [{nodeName: a, mode: mixed}]`, `hosts[0].mode: Unsupported value`},
		"a share of a dedicated host": {
			`hosts: [{nodeName: a, share: [{cell: 0, cpus: "4-7", memory: 1Gi}]}]`, `hosts[0].share: Forbidden`,
		},
		"a partitioned host without a share": {`hosts: [{nodeName: a, mode: partitioned}]`, `hosts[0].share: Required value`},
		"a partitioned host without a kubelet": {
			`hosts: [{nodeName: a, mode: partitioned, registerNode: true, share: [{cell: 0, cpus: "4-7", memory: 1Gi}]}]`, `hosts[0].registerNode: Forbidden`,
		},
		"a partitioned host with a reserve": {
			`hosts: [{nodeName: a, mode: partitioned, reserve: {cpu: 1}, share: [{cell: 0, cpus: "4-7", memory: 1Gi}]}]`, `hosts[0].reserve: Forbidden`,
		},
		"a share without CPUs": {
			`hosts: [{nodeName: a, mode: partitioned, share: [{cell: 0, cpus: "", memory: 1Gi}]}]`, `hosts[0].share[0].cpus: Invalid value`,
		},
		"a share without memory": {
			`hosts: [{nodeName: a, mode: partitioned, share: [{cell: 0, cpus: "4"}]}]`, `hosts[0].share[0].memory: Invalid value`,
		},
		"shares of one cell": {
			`hosts: [{nodeName: a, mode: partitioned, share: [{cell: 0, cpus: "4", memory: 1Gi}, {cell: 0, cpus: "5", memory: 1Gi}]}]`, `hosts[0].share[1].cell: Duplicate value`,
		},
		"shares that have a CPU in common": {
			`hosts: [{nodeName: a, mode: partitioned, share: [{cell: 0, cpus: "4-5", memory: 1Gi}, {cell: 1, cpus: "5", memory: 1Gi}]}]`, `hosts[0].share[1].cpus: Invalid value`,
		},
		"a device without a name":   {`hosts: [{nodeName: a, devices: [{vendor: "10de", product: "20b0"}]}]`, `hosts[0].devices[0].name: Invalid value`},
		"devices that are not said": {`hosts: [{nodeName: a, devices: [{name: gpu}]}]`, `hosts[0].devices[0]: Required value`},
		"all devices of a vendor":   {`hosts: [{nodeName: a, devices: [{name: gpu, vendor: "10de"}]}]`, `hosts[0].devices[0].product: Invalid value`},
		"devices that are said twice": {
			`hosts: [{nodeName: a, devices: [{name: gpu, vendor: "10de", product: "20b0", addresses: ["0000:3b:00.0"]}]}]`, `hosts[0].devices[0].addresses: Forbidden`,
		},
		"an address without its domain": {
			`hosts: [{nodeName: a, devices: [{name: gpu, addresses: ["3b:00.0"]}]}]`, `hosts[0].devices[0].addresses[0]: Invalid value`,
		},
		"an address under two names": {
			`hosts: [{nodeName: a, devices: [{name: gpu, addresses: ["0000:3b:00.0"]}, {name: card, addresses: ["0000:3b:00.0"]}]}]`,
			`hosts[0].devices[1].addresses[0]: Duplicate value`,
		},
		"a product under two names": {
			`hosts: [{nodeName: a, devices: [{name: gpu, vendor: "10de", product: "20b0"}, {name: card, vendor: "10de", product: "20b0"}]}]`,
			`hosts[0].devices[1].product: Duplicate value`,
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
