package hostconfig

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// SimulatedConfiguration is what a simulated host has.
type SimulatedConfiguration struct {
	CPUs int64 `json:"cpus"`
	// memory includes the hugepage pools.
	Memory resource.Quantity `json:"memory"`
	// cells are the NUMA cells; one that has everything when empty.
	Cells []SimulatedCellConfiguration `json:"cells,omitempty"`
	// devices are its PCI devices, whether or not they are offered.
	Devices []SimulatedDeviceConfiguration `json:"devices,omitempty"`
	// cpuModels, cpuFeatures, firmware (bios, efi) and secureBoot are what
	// guests can have.
	CPUModels   []string `json:"cpuModels,omitempty"`
	CPUFeatures []string `json:"cpuFeatures,omitempty"`
	Firmware    []string `json:"firmware,omitempty"`
	SecureBoot  bool     `json:"secureBoot,omitempty"`
	// pools are the storage pools; one named default, of 1Ti, when not set.
	Pools []SimulatedPoolConfiguration `json:"pools,omitempty"`
	// bridges and interfaces are the names of its bridges, and of its other network
	// interfaces.
	Bridges    []string `json:"bridges,omitempty"`
	Interfaces []string `json:"interfaces,omitempty"`
}

// SimulatedPoolConfiguration is a storage pool of a simulated host.
type SimulatedPoolConfiguration struct {
	Name string `json:"name"`
	// type is libvirt's; dir when not set.
	Type string `json:"type,omitempty"`
	// store is the same for pools of several hosts that are one, such as
	// netfs://server/export.
	Store    string            `json:"store,omitempty"`
	Capacity resource.Quantity `json:"capacity"`
}

// SimulatedCellConfiguration is a NUMA cell of a simulated host.
type SimulatedCellConfiguration struct {
	ID int32 `json:"id"`
	// cpus is in Linux list format: 0-3,8-11.
	CPUs   string            `json:"cpus"`
	Memory resource.Quantity `json:"memory"`
	// hugepages2Mi and hugepages1Gi are numbers of pages.
	Hugepages2Mi int64 `json:"hugepages2Mi,omitempty"`
	Hugepages1Gi int64 `json:"hugepages1Gi,omitempty"`
	// siblings are the cores with more than one thread: "0,4".
	Siblings []string `json:"siblings,omitempty"`
	// distances are the ACPI SLIT distances to other cells (10 is local).
	Distances []SimulatedDistanceConfiguration `json:"distances,omitempty"`
}

// SimulatedDistanceConfiguration is how far another cell is.
type SimulatedDistanceConfiguration struct {
	Cell     int32 `json:"cell"`
	Distance int32 `json:"distance"`
}

// SimulatedDeviceConfiguration is a PCI device of a simulated host.
type SimulatedDeviceConfiguration struct {
	// address is such as 0000:3b:00.0.
	Address string `json:"address"`
	// vendor and product are PCI ids in hexadecimal: 10de, 20b0.
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
	// physicalFunction makes it a virtual function of the device there.
	PhysicalFunction string `json:"physicalFunction,omitempty"`
	// cell is the NUMA cell that it is near to; near none when not set.
	Cell *int32 `json:"cell,omitempty"`
}

// Simulation is what the simulated host has.
func (s *SimulatedConfiguration) Simulation() libvirt.Simulation {
	out := libvirt.Simulation{
		CPUs: s.CPUs, Memory: s.Memory.Value(),
		CPUModels: s.CPUModels, CPUFeatures: s.CPUFeatures, Firmware: s.Firmware, SecureBoot: s.SecureBoot,
	}
	for _, p := range s.Pools {
		pool := libvirt.Pool{Name: p.Name, Type: p.Type, Store: p.Store, Capacity: p.Capacity.Value()}
		if pool.Type == "" {
			pool.Type = "dir"
		}
		out.Pools = append(out.Pools, pool)
	}
	if s.Pools == nil {
		out.Pools = []libvirt.Pool{{Name: v1alpha1.DefaultPoolName, Type: "dir", Capacity: 1 << 40}}
	}
	for _, name := range s.Bridges {
		out.Interfaces = append(out.Interfaces, libvirt.HostInterface{Name: name, Bridge: true})
	}
	for _, name := range s.Interfaces {
		out.Interfaces = append(out.Interfaces, libvirt.HostInterface{Name: name})
	}
	slices.SortFunc(out.Interfaces, func(a, b libvirt.HostInterface) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range s.Cells {
		cell := libvirt.Cell{
			ID: c.ID, CPUs: c.CPUs, Siblings: c.Siblings, Memory: c.Memory.Value(),
			Pages: libvirt.Pages{Size2Mi: c.Hugepages2Mi, Size1Gi: c.Hugepages1Gi},
		}
		for _, d := range c.Distances {
			cell.Distances = append(cell.Distances, libvirt.Distance{Cell: d.Cell, Value: d.Distance})
		}
		out.Cells = append(out.Cells, cell)
	}
	for _, d := range s.Devices {
		out.Devices = append(out.Devices, libvirt.Device{
			Address: d.Address, Vendor: d.Vendor, Product: d.Product, PhysicalFunction: d.PhysicalFunction, Cell: d.Cell,
		})
	}
	return out
}

func (s *SimulatedConfiguration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.CPUs < 1 {
		errs = append(errs, field.Invalid(path.Child("cpus"), s.CPUs, "must be at least 1"))
	}
	if s.Memory.Sign() <= 0 {
		errs = append(errs, field.Invalid(path.Child("memory"), s.Memory.String(), "must be more than 0"))
	}
	cells := path.Child("cells")
	var memory int64
	var all cpuset.CPUSet
	seen := map[int32]bool{}
	for i := range s.Cells {
		c, at := &s.Cells[i], cells.Index(i)
		errs = append(errs, c.validate(at)...)
		if seen[c.ID] {
			errs = append(errs, field.Duplicate(at.Child("id"), c.ID))
		}
		seen[c.ID] = true
		set, _ := cpuset.Parse(c.CPUs)
		if !set.Intersection(all).IsEmpty() {
			errs = append(errs, field.Invalid(at.Child("cpus"), c.CPUs, "a CPU is in one cell only"))
		}
		all = all.Union(set)
		memory += c.Memory.Value()
	}
	if len(s.Cells) > 0 && memory > s.Memory.Value() {
		errs = append(errs, field.Invalid(path.Child("memory"), s.Memory.String(), fmt.Sprintf("is less than that of the cells together (%d bytes)", memory)))
	}
	if len(s.Cells) > 0 && int64(all.Size()) != s.CPUs {
		errs = append(errs, field.Invalid(path.Child("cpus"), s.CPUs, fmt.Sprintf("the cells have %d CPUs together", all.Size())))
	}
	pools := map[string]bool{}
	for i, p := range s.Pools {
		at := path.Child("pools").Index(i)
		if p.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), "name the pool"))
		}
		if pools[p.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		pools[p.Name] = true
		if p.Capacity.Sign() <= 0 {
			errs = append(errs, field.Invalid(at.Child("capacity"), p.Capacity.String(), "must be more than 0"))
		}
	}
	return append(errs, s.validateDevices(path.Child("devices"))...)
}

func (c *SimulatedCellConfiguration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.ID < 0 {
		errs = append(errs, field.Invalid(path.Child("id"), c.ID, "must not be negative"))
	}
	alone, err := cpuset.Parse(c.CPUs)
	if err != nil {
		errs = append(errs, field.Invalid(path.Child("cpus"), c.CPUs, "must be a list such as 0-3,8-11"))
	}
	for i, siblings := range c.Siblings {
		core, err := cpuset.Parse(siblings)
		if err != nil || core.Size() < 2 || !core.IsSubsetOf(alone) {
			errs = append(errs, field.Invalid(path.Child("siblings").Index(i), siblings, "must be two or more CPUs of the cell that are in no other core, such as 0,4"))
			continue
		}
		alone = alone.Difference(core)
	}
	errs = append(errs, notNegative(path.Child("memory"), c.Memory)...)
	if c.Hugepages2Mi < 0 {
		errs = append(errs, field.Invalid(path.Child("hugepages2Mi"), c.Hugepages2Mi, "must not be negative"))
	}
	if c.Hugepages1Gi < 0 {
		errs = append(errs, field.Invalid(path.Child("hugepages1Gi"), c.Hugepages1Gi, "must not be negative"))
	}
	if pools := c.Hugepages2Mi<<21 + c.Hugepages1Gi<<30; pools > c.Memory.Value() {
		errs = append(errs, field.Invalid(path.Child("memory"), c.Memory.String(), fmt.Sprintf("is less than the cell's hugepages (%d bytes)", pools)))
	}
	return errs
}

func (s *SimulatedConfiguration) validateDevices(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, d := range s.Devices {
		at := path.Index(i)
		errs = append(errs, validPCIAddress(at.Child("address"), d.Address)...)
		if seen[d.Address] {
			errs = append(errs, field.Duplicate(at.Child("address"), d.Address))
		}
		seen[d.Address] = true
		errs = append(errs, validPCIID(at.Child("vendor"), d.Vendor)...)
		errs = append(errs, validPCIID(at.Child("product"), d.Product)...)
		if d.PhysicalFunction != "" {
			errs = append(errs, validPCIAddress(at.Child("physicalFunction"), d.PhysicalFunction)...)
		}
	}
	return errs
}
