package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/cpuset"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/qemulog"
)

// blocks are the fenced blocks of YAML in a page.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
		inside, _, _ := strings.Cut(part, "```")
		out = append(out, inside)
	}
	return out
}

func TestTheExampleOfTheHostModesPage(t *testing.T) {
	const page = "../../docs/host-modes.md"
	examples := blocks(t, page)
	if len(examples) != 2 {
		t.Fatalf("%s has %d blocks of YAML, not the executor's configuration and the kubelet's", page, len(examples))
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(examples[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := hostconfig.ReadConfiguration(file)
	if err != nil {
		t.Fatal(err)
	}
	q := resource.MustParse
	gpu := hostconfig.DeviceConfiguration{Name: "gpu", Vendor: "10de", Product: "20b0"}
	want := &hostconfig.Configuration{Hosts: []hostconfig.HostConfiguration{
		{
			NodeName: "host-1", LibvirtURI: "qemu:///system", DomainType: "auto", SeedDir: hostconfig.DefaultSeedDir, QEMULogDir: qemulog.DefaultDir, CPUOvercommit: q("2"), Mode: hostconfig.ModePartitioned,
			Share: []hostconfig.ShareConfiguration{
				{Cell: 0, CPUs: "4-15", Memory: q("24Gi"), Hugepages1Gi: 16}, {Cell: 1, CPUs: "20-31", Memory: q("24Gi"), Hugepages1Gi: 16},
			},
			Devices: []hostconfig.DeviceConfiguration{gpu, {Name: "25g-vf", Addresses: []string{"0000:3b:02.0", "0000:3b:02.1"}}},
		},
		{
			NodeName: "host-2", LibvirtURI: "qemu:///system", DomainType: "auto", SeedDir: hostconfig.DefaultSeedDir, QEMULogDir: qemulog.DefaultDir, CPUOvercommit: q("1"), Mode: hostconfig.ModeDedicated, RegisterNode: true,
			Reserve: hostconfig.ReserveConfiguration{CPU: q("2"), Memory: q("4Gi")}, Devices: []hostconfig.DeviceConfiguration{gpu},
		},
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })); diff != "" {
		t.Error(diff)
	}

	// The kubelet's settings leave just that share alone.
	var kubelet struct {
		ReservedSystemCPUs string                       `json:"reservedSystemCPUs"`
		SystemReserved     map[string]resource.Quantity `json:"systemReserved"`
	}
	if err := yaml.Unmarshal([]byte(examples[1]), &kubelet); err != nil {
		t.Fatal(err)
	}
	cpus, memory := cpuset.New(), int64(0)
	for _, s := range got.Hosts[0].Share {
		own, _ := cpuset.Parse(s.CPUs)
		cpus, memory = cpus.Union(own), memory+s.Memory.Value()+s.Hugepages1Gi<<30
	}
	reserved := kubelet.SystemReserved["memory"]
	if kubelet.ReservedSystemCPUs != cpus.String() || reserved.Value() != memory {
		t.Errorf("the kubelet reserves CPUs %s and %s; the share is CPUs %s and %d bytes", kubelet.ReservedSystemCPUs, reserved.String(), cpus, memory)
	}
}
