package numa

import "domus.dev/domus/pkg/capacity"

// InCell is what VMs hold in one NUMA cell.
type InCell struct {
	// Shared counts the vCPUs bound to the cell that share its CPUs.
	Shared int64
	// Dedicated counts the physical CPUs that VMs pin or keep idle.
	Dedicated int64
	// Memory is what is bound to the cell, in bytes by kind; its CPU is 0.
	Memory capacity.Resources
}

// InCell is what VMs hold in the cell at an index of Host.Cells. What floats is in
// no cell.
func (u *Usage) InCell(cell int) InCell {
	c := &u.cells[cell]
	out := InCell{Shared: c.shared, Dedicated: c.taken}
	for p := range pools {
		*memoryOf(&out.Memory, p) = c.memory[p]
	}
	return out
}

// Bytes is what the cell has for VMs, in bytes by kind; its CPU is 0.
func (c *Cell) Bytes() capacity.Resources {
	var out capacity.Resources
	for p := range pools {
		*memoryOf(&out, p) = c.memory(p)
	}
	return out
}
