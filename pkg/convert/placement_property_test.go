package convert_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/convert"
)

// VMs are placed on a host one after another as the scheduler does it, and the
// domain of each must hold what its placement does, nothing else, and keep off
// what the others have to themselves.
func TestADomainHoldsWhatItsPlacementDoes(t *testing.T) {
	vm := machine(t, "ioThreads: 2")
	rapid.Check(t, func(t *rapid.T) {
		host, err := numa.FromHypervisor(fourCellReport())
		if err != nil {
			t.Fatal(err)
		}
		usage := numa.NewUsage(&host)
		for range rapid.IntRange(1, 8).Draw(t, "VMs") {
			request := drawRequest(t)
			assignment, shortage := numa.Choose(usage, &request)
			if shortage != nil {
				continue
			}
			placement := request.Placement("host-1", assignment)
			placement.Devices = drawDevices(t)
			others := takenOn(usage)
			if err := usage.Add(&placement); err != nil {
				t.Fatal(err)
			}
			placed := vm.DeepCopy()
			placed.Status.Placement = &placement
			in := input(placed)
			in.SharedCPUs = sharedOn(usage)
			domain, err := convert.Domain(in)
			if err != nil {
				t.Fatal(err)
			}
			checkMark(t, domain, &placement)
			checkMemory(t, domain, &placement)
			checkPins(t, domain, &placement, others)
			if got := len(domain.Devices.Hostdevs); got != len(placement.Devices) {
				t.Errorf("%d host devices of %d", got, len(placement.Devices))
			}
		}
	})
}

func checkMark(t *rapid.T, domain *libvirtxml.Domain, p *v1alpha1.Placement) {
	o, found, err := convert.ParseOwnership(domain.Metadata.XML)
	if err != nil || !found {
		t.Fatalf("found %v, error %v in %s", found, err, domain.Metadata.XML)
	}
	if diff := cmp.Diff(*p, o.Placement(p.NodeName)); diff != "" {
		t.Errorf("the mark: %s", diff)
	}
}

func checkMemory(t *rapid.T, domain *libvirtxml.Domain, p *v1alpha1.Placement) {
	total := int64(domain.Memory.Value) * 1024
	if total < p.Granted.Memory || total >= p.Granted.Memory+1024 {
		t.Errorf("%d bytes of memory, granted %d", total, p.Granted.Memory)
	}
	if len(p.Cells) == 0 || p.Cells[0].Memory == 0 {
		if domain.NUMATune != nil || domain.CPU != nil {
			t.Error("memory that floats is bound")
		}
		return
	}
	cells, nodes := domain.CPU.Numa.Cell, domain.NUMATune.MemNodes
	if len(cells) != len(p.Cells) || len(nodes) != len(p.Cells) {
		t.Fatalf("%d guest cells bound by %d nodes, placed in %d", len(cells), len(nodes), len(p.Cells))
	}
	var sum int64
	next := 0
	for i, placed := range p.Cells {
		here := int64(cells[i].Memory) * 1024
		sum += here
		if d := here - placed.Memory; d <= -1024 || d >= 1024 {
			t.Errorf("guest cell %d has %d bytes, placed %d", i, here, placed.Memory)
		}
		want := libvirtxml.DomainNUMATuneMemNode{CellID: uint(i), Mode: "strict", Nodeset: fmt.Sprint(placed.ID)}
		if diff := cmp.Diff(want, nodes[i]); diff != "" {
			t.Error(diff)
		}
		if got, want := parse(t, cells[i].CPUs), run(next, int(placed.CPU)); !got.Equals(want) {
			t.Errorf("guest cell %d has vCPUs %s, want %s", i, got, want)
		}
		next += int(placed.CPU)
	}
	if sum != total {
		t.Errorf("the guest cells have %d bytes together, the domain %d", sum, total)
	}
}

// checkPins: others are the CPUs that the VMs placed before have to themselves.
func checkPins(t *rapid.T, domain *libvirtxml.Domain, p *v1alpha1.Placement, others cpuset.CPUSet) {
	if domain.CPUTune == nil {
		if len(p.Cells) > 0 || !others.IsEmpty() {
			t.Error("nothing is pinned")
		}
		return
	}
	pins := domain.CPUTune.VCPUPin
	if len(pins) != int(p.Granted.CPU) {
		t.Fatalf("%d vCPUs pinned of %d", len(pins), p.Granted.CPU)
	}
	all := cpuset.New()
	next := 0
	for _, cell := range p.Cells {
		here := cpuset.New()
		for range cell.CPU {
			here = here.Union(parse(t, pins[next].CPUSet))
			next++
		}
		if cell.CPUs != "" && !here.Equals(parse(t, cell.CPUs)) {
			t.Errorf("cell %d: vCPUs are on %s, placed on %s", cell.ID, here, cell.CPUs)
		}
	}
	for _, pin := range pins {
		all = all.Union(parse(t, pin.CPUSet))
	}
	if both := all.Intersection(others); !both.IsEmpty() {
		t.Errorf("vCPUs run on %s, which others have to themselves", both)
	}
	if got := domain.CPUTune.EmulatorPin.CPUSet; got != all.String() {
		t.Errorf("the emulator is on %s, the vCPUs on %s", got, all)
	}
	if len(domain.CPUTune.IOThreadPin) != 2 {
		t.Errorf("%d I/O threads pinned of 2", len(domain.CPUTune.IOThreadPin))
	}
}

func drawRequest(t *rapid.T) numa.Request {
	r := numa.Request{
		Granted: v1alpha1.GrantedResources{
			CPU:      rapid.Int32Range(1, 12).Draw(t, "cpu"),
			Memory:   rapid.Int64Range(1<<20, 6<<30).Draw(t, "memory"),
			Overhead: 100 << 20,
			PageSize: rapid.SampledFrom([]v1alpha1.PageSize{"", v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi}).Draw(t, "pages"),
		},
		NUMA: rapid.SampledFrom([]v1alpha1.NUMAPolicy{
			v1alpha1.NUMANone, v1alpha1.NUMASingleCell, v1alpha1.NUMARestricted, v1alpha1.NUMASpread,
		}).Draw(t, "numa"),
		CPUPolicy: rapid.SampledFrom([]v1alpha1.CPUPolicy{v1alpha1.CPUShared, v1alpha1.CPUDedicated}).Draw(t, "cpuPolicy"),
		Threads:   rapid.SampledFrom([]v1alpha1.ThreadPolicy{v1alpha1.ThreadsTogether, v1alpha1.ThreadsApart}).Draw(t, "threads"),
	}
	switch r.Granted.PageSize {
	case v1alpha1.PageSize2Mi:
		r.Granted.Memory = (r.Granted.Memory>>21 + 1) << 21
	case v1alpha1.PageSize1Gi:
		r.Granted.Memory = (r.Granted.Memory>>30 + 1) << 30
	}
	return r
}

func drawDevices(t *rapid.T) (devices []v1alpha1.PlacedDevice) {
	for bus := range rapid.IntRange(0, 3).Draw(t, "devices") {
		devices = append(devices, v1alpha1.PlacedDevice{Name: "gpu", Address: fmt.Sprintf("0000:%02x:00.0", bus)})
	}
	return devices
}

// fourCellReport is a host of four cells, each with four cores of two threads.
func fourCellReport() *v1alpha1.HypervisorStatus {
	status := &v1alpha1.HypervisorStatus{CPUOvercommit: "2"}
	status.Allocatable = v1alpha1.HostCapacity{CPU: 64, Memory: 32 << 30, Hugepages2Mi: 16 << 30, Hugepages1Gi: 16 << 30}
	for id := range int32(4) {
		first := 8 * id
		cell := v1alpha1.Cell{ID: id, CPUs: fmt.Sprintf("%d-%d", first, first+7), Memory: 16 << 30}
		for core := range int32(4) {
			cell.Siblings = append(cell.Siblings, fmt.Sprintf("%d,%d", first+core, first+core+4))
		}
		cell.Hugepages = []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: 2 << 10}, {Size: v1alpha1.PageSize1Gi, Total: 4}}
		status.Cells = append(status.Cells, cell)
	}
	return status
}

func takenOn(u *numa.Usage) cpuset.CPUSet {
	taken := cpuset.New()
	for i := range u.Host().Cells {
		taken = taken.Union(u.Taken(i))
	}
	return taken
}

func sharedOn(u *numa.Usage) convert.SharedCPUs {
	shared := convert.SharedCPUs{Cells: map[int32]cpuset.CPUSet{}, Taken: !takenOn(u).IsEmpty()}
	for i, cell := range u.Host().Cells {
		shared.Cells[cell.ID] = cell.CPUs.Difference(u.Taken(i))
	}
	return shared
}

// run is n numbers from first on.
func run(first, n int) cpuset.CPUSet {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = first + i
	}
	return cpuset.New(numbers...)
}

func parse(t *rapid.T, text string) cpuset.CPUSet {
	set, err := cpuset.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
