package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/utils/cpuset"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// SimulatedArch is the architecture simulated hosts claim to have.
const SimulatedArch = "x86_64"

// DomainTypeTest is the type of domains on a simulated host.
const DomainTypeTest = "test"

// Simulation describes a simulated host.
type Simulation struct {
	// CPUs and Memory (bytes, hugepage pools included) are the host's; Cells
	// share them out, and none means one cell that has everything.
	CPUs   int64
	Memory int64
	Cells  []Cell
	// Devices are the host's PCI devices.
	Devices []Device
	// CPUModels, CPUFeatures, Firmware and SecureBoot are what guests can have.
	CPUModels, CPUFeatures []string
	Firmware               []string
	SecureBoot             bool
	// Pools are the host's storage pools, with name, type, store and capacity.
	// What is in those without a store outlives the connection, in dir.
	Pools []Pool
	// Interfaces are the host's network interfaces.
	Interfaces []HostInterface
}

// simulated is a host that is libvirt's test driver: domains are defined,
// started, stopped and listed by libvirt itself, events and errors included,
// while no guest runs. The test driver keeps every part of a domain, bindings
// and host devices too, but knows neither cells nor pages nor devices and limits
// nothing, so what the host has comes from its Simulation. Nothing outlives its
// connection: closing that is a loss of power and of disks.
type simulated struct {
	testDriver
	simulation Simulation
	// cpus is above the highest number of a CPU.
	cpus int
	simulatedStorage
}

// testDriver is all of libvirt's test driver but its storage: what simulatedStorage
// has stands before it.
type testDriver struct{ *connection }

// Simulate returns a simulated Host whose node description is written to
// dir/name.xml. dir is made where it is missing.
func Simulate(dir, name string, s Simulation) (Host, error) {
	if len(s.Cells) == 0 {
		ids := make([]int, s.CPUs)
		for i := range ids {
			ids[i] = i
		}
		s.Cells = []Cell{{CPUs: cpuset.New(ids...).String(), Memory: s.Memory}}
	}
	cpus := 0
	for _, c := range s.Cells {
		set, err := cpuset.Parse(c.CPUs)
		if err != nil {
			return nil, fmt.Errorf("preparing simulated host %s: reading the CPUs of cell %d: %w", name, c.ID, err)
		}
		for _, cpu := range set.List() {
			cpus = max(cpus, cpu+1)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("preparing simulated host %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("preparing simulated host %s: %w", name, err)
	}
	doc, err := xml.MarshalIndent(nodeOf(s), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("preparing simulated host %s: %w", name, err)
	}
	file := filepath.Join(dir, name+".xml")
	if err := os.WriteFile(file, append(doc, '\n'), 0o640); err != nil {
		return nil, fmt.Errorf("preparing simulated host %s: %w", name, err)
	}
	storage, err := simulateStorage(filepath.Join(dir, name+".volumes.json"), s.Pools)
	if err != nil {
		return nil, fmt.Errorf("preparing simulated host %s: %w", name, err)
	}
	return &simulated{testDriver: testDriver{connect("test://" + file)}, simulation: s, cpus: cpus, simulatedStorage: storage}, nil
}

// testNode is the test driver's description of a node. Source: libvirt's
// src/test/test_driver.c, testOpenParse.
type testNode struct {
	XMLName xml.Name `xml:"node"`
	CPU     struct {
		MHz     int    `xml:"mhz"`
		Model   string `xml:"model"`
		Active  int64  `xml:"active"`
		Nodes   int    `xml:"nodes"`
		Sockets int    `xml:"sockets"`
		Cores   int64  `xml:"cores"`
		Threads int    `xml:"threads"`
	} `xml:"cpu"`
	// Memory is in KiB.
	Memory int64 `xml:"memory"`
}

func nodeOf(s Simulation) testNode {
	n := testNode{Memory: s.Memory >> 10}
	n.CPU.MHz, n.CPU.Model = 2000, "simulated"
	n.CPU.Active, n.CPU.Cores = s.CPUs, s.CPUs
	n.CPU.Nodes, n.CPU.Sockets, n.CPU.Threads = 1, 1, 1
	return n
}

// Describe implements Host.
func (s *simulated) Describe(ctx context.Context) (Description, error) {
	libvirt, err := call(ctx, s.connection, "describing the host", libVersion)
	if err != nil {
		return Description{}, err
	}
	out := Description{
		Simulated: true, Arch: SimulatedArch,
		CPUs: s.simulation.CPUs, Memory: s.simulation.Memory, Cells: slices.Clone(s.simulation.Cells),
		DomainTypes: []DomainType{{
			Type: DomainTypeTest, Arch: SimulatedArch,
			CPUModels: s.simulation.CPUModels, CPUFeatures: s.simulation.CPUFeatures,
			Firmware: s.simulation.Firmware, SecureBoot: s.simulation.SecureBoot,
		}},
		Devices:        slices.Clone(s.simulation.Devices),
		LibvirtVersion: libvirt,
	}
	for _, c := range out.Cells {
		out.Pages = out.Pages.Add(c.Pages)
	}
	return out, nil
}

// FreePages implements Host: the pools less what running domains would hold.
func (s *simulated) FreePages(ctx context.Context) ([]CellFree, error) {
	domains, err := s.Domains(ctx)
	if err != nil {
		return nil, err
	}
	return freePages(s.simulation.Cells, domains), nil
}

// Pin implements Host. The test driver changes the guest that runs when no flag
// says so, and knows 8 CPUs whatever its node has.
func (s *simulated) Pin(ctx context.Context, uuid string, vcpus map[int]string, emulator string) error {
	return s.pin(ctx, uuid, vcpus, emulator, lv.DOMAIN_AFFECT_CURRENT, func(*lv.Connect) (int, error) { return s.cpus, nil })
}

// DomainType implements Host.
func (s *simulated) DomainType(context.Context, string) (string, error) { return DomainTypeTest, nil }

// Define implements Host. Whatever kind of guest the document describes, the
// test driver runs none: only its type is changed.
func (s *simulated) Define(ctx context.Context, doc string) error {
	var d libvirtxml.Domain
	if err := d.Unmarshal(doc); err != nil {
		return &Error{Doing: "defining a domain", Message: err.Error(), kind: ErrInvalidDomain}
	}
	d.Type = DomainTypeTest
	doc, err := d.Marshal()
	if err != nil {
		return fmt.Errorf("defining domain %s: %w", d.Name, err)
	}
	// Each definition is held against libvirt's schema, which it reads each time,
	// into memory of this very process: one after another, not 200 at once.
	select {
	case schemaInMemory <- struct{}{}:
		defer func() { <-schemaInMemory }()
	case <-ctx.Done():
		return &Error{Doing: "defining a domain", Message: "others are being defined", kind: ErrTimeout}
	}
	return s.connection.Define(ctx, doc)
}

// schemaInMemory is held by the simulated host, of all in this process, that
// defines a domain.
var schemaInMemory = make(chan struct{}, 1)
