package numa

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
	// Overhead is the part of Need that is not the guest's but QEMU's own.
	Overhead int64
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
	switch {
	case s.Device != "" || s.Extent == ExtentHost:
		return fmt.Sprintf("need %s, %s free", need, largest)
	case s.Extent == ExtentCells:
		return fmt.Sprintf("need %s, the largest that fits is %s", need, largest)
	}
	return fmt.Sprintf("need %s, the largest free is %s", need, largest)
}

// Sentence says it with words for the largest amount: "need 16Gi of 1Gi
// hugepages in one cell, largest is 12Gi".
func (s *Shortage) Sentence(largestIs string) string {
	if s.Reason != "" {
		return s.Reason
	}
	need, largest := s.amounts()
	return fmt.Sprintf("need %s, %s %s", need, largestIs, largest)
}

// Lack is the shortage without amounts.
func (s *Shortage) Lack() Lack {
	l := Lack{Resource: s.Resource, Device: s.Device, Extent: s.Extent, Beside: s.BesideCPU > 0}
	if s.Resource == v1alpha1.ResourceCPU {
		l.Dedicated, l.Apart = s.Dedicated, s.Apart
	}
	return l
}

// Nearer says whether a host that lacks s comes nearer to holding the VM than
// one that lacks o (nil: nothing is known of one): it has more of what is
// missing, by share of what is needed.
func (s *Shortage) Nearer(o *Shortage) bool {
	switch {
	case o == nil:
		return true
	case s.Reason != "" || o.Reason != "":
		return s.Reason == "" && o.Reason != ""
	}
	return s.share() > o.share()
}

func (s *Shortage) share() float64 {
	return float64(max(s.Largest, 0)) / float64(max(s.Need, 1))
}

// amounts are Need with its resource and where it is needed, and Largest. Memory
// is said more exactly where rounding would make both look equal.
func (s *Shortage) amounts() (need, largest string) {
	most := max(s.Largest, 0)
	if s.Device != "" {
		return fmt.Sprintf("%d %s%s", s.Need, s.Device, nearWords(s.Extent, s.Cells, s.BesideCPU > 0)), fmt.Sprint(most)
	}
	where := extentWords(s.Extent, s.Cells)
	if s.BesideCPU > 0 {
		where += " beside " + cpuWords(s.BesideCPU, s.Dedicated, s.Apart)
	}
	if s.Resource == v1alpha1.ResourceCPU {
		return cpuWords(s.Need, s.Dedicated, s.Apart) + where, fmt.Sprint(most)
	}
	amount := capacity.Bytes
	for _, finer := range []func(int64) string{mebibytes, exactly} {
		if amount(s.Need) != amount(most) {
			break
		}
		amount = finer
	}
	return memoryNeed(s.Resource, s.Need, s.Overhead, amount) + where, amount(most)
}

// mebibytes says an amount of memory in whole Mi, or less than one as it is.
func mebibytes(n int64) string {
	const mib = 1 << 20
	if n < mib {
		return exactly(n)
	}
	return fmt.Sprintf("%dMi", (n+mib/2)/mib)
}

// exactly says an amount of memory in the largest unit of which it is a whole
// number.
func exactly(n int64) string {
	if n != 0 && n%1024 != 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return resource.NewQuantity(n, resource.BinarySI).String()
}

// memoryNeed says an amount of memory, of which overhead is QEMU's own.
func memoryNeed(name corev1.ResourceName, need, overhead int64, amount func(int64) string) string {
	switch guest := need - overhead; {
	case overhead <= 0:
		return amount(need) + " of " + memoryWords[name]
	case guest <= 0:
		return amount(overhead) + " of " + memoryWords[name] + " for QEMU's overhead"
	default:
		return amount(guest) + " + " + amount(overhead) + " overhead of " + memoryWords[name]
	}
}

// extentWords say where vCPUs or memory are short; cells is 0 where hosts differ
// in it.
func extentWords(e Extent, cells int) string {
	switch {
	case e == ExtentCell:
		return " in one cell"
	case e == ExtentCells && cells > 0:
		return fmt.Sprintf(" split evenly over at most %d cells", cells)
	case e == ExtentCells:
		return " split evenly over cells"
	}
	return ""
}

// memoryWords are what people call the kinds of memory.
var memoryWords = map[corev1.ResourceName]string{
	v1alpha1.ResourceMemory:       "memory",
	v1alpha1.ResourceHugepages2Mi: "2Mi hugepages",
	v1alpha1.ResourceHugepages1Gi: "1Gi hugepages",
}

func cpuWords(n int64, dedicated, apart bool) string {
	switch one := n == 1; {
	case apart && one:
		return "1 dedicated CPU on a core of its own"
	case apart:
		return fmt.Sprintf("%d dedicated CPUs on cores of their own", n)
	case dedicated && one:
		return "1 dedicated CPU"
	case dedicated:
		return fmt.Sprintf("%d dedicated CPUs", n)
	case one:
		return "1 vCPU"
	}
	return fmt.Sprintf("%d vCPUs", n)
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
