package numa

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Extent is where on a host something is short.
type Extent int

// Extents of a shortage.
const (
	// ExtentHost: the host as a whole has too little.
	ExtentHost Extent = iota
	// ExtentCell: no cell has enough alone.
	ExtentCell
	// ExtentCells: no set of cells has enough in even shares.
	ExtentCells
)

// Shortage is what a host lacks for a VM.
type Shortage struct {
	// Reason says it in words where it is not a lack of an amount.
	Reason string
	// Resource is what is short: v1alpha1.ResourceCPU, ...; empty where it is a
	// device.
	Resource corev1.ResourceName
	// Device is the name of the devices that are short.
	Device string
	// Need is what the VM asks for and Largest the most that it could have been
	// given under the same policies: vCPUs, bytes, or devices. It may be negative where
	// the host has shrunk below what is granted on it.
	Need, Largest int64
	// Extent is where.
	Extent Extent
	// Cells is over how many cells the VM may be split at most; for ExtentCells.
	Cells int
	// BesideCPU is set when there is enough of the resource, but not where this
	// many vCPUs are free too; and for devices, not where the VM has room.
	BesideCPU int64
	// Dedicated and Apart tell which CPUs are short, or are beside.
	Dedicated, Apart bool
}

// String says the shortage to a person: "need 16Gi of 1Gi hugepages in one
// cell, the largest free is 12Gi".
func (s *Shortage) String() string {
	if s.Reason != "" {
		return s.Reason
	}
	need, largest := s.amounts()
	if s.Device != "" {
		where := nearWords(s.Extent, s.Cells, s.BesideCPU > 0)
		return fmt.Sprintf("need %s%s, %s free", need, where, largest)
	}
	beside := ""
	if s.BesideCPU > 0 {
		beside = fmt.Sprintf(" beside %d %s", s.BesideCPU, cpuWords(s.Dedicated, s.Apart))
	}
	switch s.Extent {
	case ExtentCell:
		return fmt.Sprintf("need %s in one cell%s, the largest free is %s", need, beside, largest)
	case ExtentCells:
		return fmt.Sprintf("need %s split evenly over at most %d cells%s, the largest that fits is %s", need, s.Cells, beside, largest)
	}
	return fmt.Sprintf("need %s, %s free", need, largest)
}

// amounts are Need with its resource, and Largest. Bytes are written out where
// rounding would make both look equal.
func (s *Shortage) amounts() (need, largest string) {
	switch {
	case s.Device != "":
		return fmt.Sprintf("%d %s", s.Need, s.Device), fmt.Sprint(s.Largest)
	case s.Resource == v1alpha1.ResourceCPU:
		return fmt.Sprintf("%d %s", s.Need, cpuWords(s.Dedicated, s.Apart)), fmt.Sprint(s.Largest)
	}
	need, largest = capacity.Bytes(s.Need), capacity.Bytes(s.Largest)
	if need == largest {
		need, largest = fmt.Sprintf("%d bytes", s.Need), fmt.Sprintf("%d bytes", s.Largest)
	}
	return need + " of " + memoryWords[s.Resource], largest
}

// memoryWords are what people call the kinds of memory.
var memoryWords = map[corev1.ResourceName]string{
	v1alpha1.ResourceMemory:       "memory",
	v1alpha1.ResourceHugepages2Mi: "2Mi hugepages",
	v1alpha1.ResourceHugepages1Gi: "1Gi hugepages",
}

func cpuWords(dedicated, apart bool) string {
	switch {
	case apart:
		return "dedicated CPUs on cores of their own"
	case dedicated:
		return "dedicated CPUs"
	}
	return "vCPUs"
}

// nearWords say where devices are short; cells is 0 where hosts differ in it,
// and beside is set when the rest of the VM does not have room there.
func nearWords(e Extent, cells int, beside bool) string {
	where := ""
	switch {
	case e == ExtentCell:
		where = " near one cell"
	case e == ExtentCells && cells > 0:
		where = fmt.Sprintf(" near at most %d cells", cells)
	case e == ExtentCells:
		where = " near one set of cells"
	}
	if beside {
		where += " with room for the VM"
	}
	return where
}

// resourceOf is the resource that is short when the pool is.
func resourceOf(p pool) corev1.ResourceName {
	switch p {
	case huge2Mi:
		return v1alpha1.ResourceHugepages2Mi
	case huge1Gi:
		return v1alpha1.ResourceHugepages1Gi
	}
	return v1alpha1.ResourceMemory
}
