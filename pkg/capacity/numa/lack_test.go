package numa

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestLacksNameTheCauseAndNothingOfTheHost(t *testing.T) {
	two := report("1", equalCells(2, 16*gib)...)
	ten := report("1", equalCells(10, 16*gib)...)
	reserved := threads()
	reserved.Allocatable.CPU = 6
	bind := func(id, cpu int32, memory int64) v1alpha1.PlacedCell {
		return v1alpha1.PlacedCell{ID: id, CPU: cpu, Memory: memory}
	}
	type lack struct {
		Lack   Lack
		Reason string
	}
	cpu, memory, large := v1alpha1.ResourceCPU, v1alpha1.ResourceMemory, v1alpha1.ResourceHugepages1Gi
	for name, test := range map[string]struct {
		host    *v1alpha1.HypervisorStatus
		placed  []v1alpha1.Placement
		request *Request
		want    lack
	}{
		"vCPUs":                            {two, nil, request(9, gib), lack{Lack{Resource: cpu}, "host(s) lack 9 vCPUs"}},
		"memory, with QEMU's own":          {two, nil, request(1, 16*gib, func(r *Request) { r.Granted.Overhead = gib }), lack{Lack{Resource: memory}, "host(s) lack 16Gi + 1Gi overhead of memory"}},
		"QEMU's own memory alone":          {two, nil, request(1, gib, in1Gi, func(r *Request) { r.Granted.Overhead = 17 * gib }), lack{Lack{Resource: memory}, "host(s) lack 17Gi of memory for QEMU's overhead"}},
		"hugepages":                        {two, nil, request(1, gib, in2Mi, singleCell), lack{Lack{Resource: v1alpha1.ResourceHugepages2Mi}, "host(s) lack 1Gi of 2Mi hugepages"}},
		"dedicated CPUs":                   {two, []v1alpha1.Placement{placed(2, gib)}, request(7, gib, dedicated), lack{Lack{Resource: cpu, Dedicated: true}, "host(s) lack 7 dedicated CPUs"}},
		"cores":                            {threads(), nil, request(5, gib, apart), lack{Lack{Resource: cpu, Dedicated: true, Apart: true}, "host(s) lack 5 dedicated CPUs on cores of their own"}},
		"devices":                          {gpus(), nil, request(1, gib, with("gpu", 1), with("nic", 2)), lack{Lack{Device: "nic"}, "host(s) lack 2 nic"}},
		"devices that no host has":         {gpus(), nil, request(1, gib, singleCell, with("fpga", 0)), lack{Lack{Device: "fpga"}, "host(s) lack 1 fpga"}},
		"hugepages in one cell":            {two, nil, request(2, 16*gib, in1Gi, singleCell), lack{Lack{Resource: large, Extent: ExtentCell}, "host(s) lack 16Gi of 1Gi hugepages in one cell"}},
		"memory in one cell":               {two, nil, request(2, 9*gib, singleCell), lack{Lack{Resource: memory, Extent: ExtentCell}, "host(s) lack 9Gi of memory in one cell"}},
		"vCPUs in one cell":                {two, nil, request(5, gib, singleCell), lack{Lack{Resource: cpu, Extent: ExtentCell}, "host(s) lack 5 vCPUs in one cell"}},
		"dedicated CPUs in one cell":       {two, []v1alpha1.Placement{placed(2, 0, bind(0, 1, 0), bind(1, 1, 0))}, request(4, gib, singleCell, dedicated), lack{Lack{Resource: cpu, Extent: ExtentCell, Dedicated: true}, "host(s) lack 4 dedicated CPUs in one cell"}},
		"cores in one cell":                {threads(), nil, request(5, gib, singleCell, apart), lack{Lack{Resource: cpu, Extent: ExtentCell, Dedicated: true, Apart: true}, "host(s) lack 5 dedicated CPUs on cores of their own in one cell"}},
		"memory where the CPUs are":        {two, []v1alpha1.Placement{placed(3, 0, bind(0, 3, 0)), placed(0, 4*gib, bind(1, 0, 4*gib))}, request(4, 6*gib, singleCell, dedicated), lack{Lack{Resource: memory, Extent: ExtentCell, Beside: true}, "host(s) lack 6Gi of memory in one cell beside 4 dedicated CPUs"}},
		"devices near one cell":            {gpus(), nil, request(1, gib, singleCell, with("gpu", 4)), lack{Lack{Device: "gpu", Extent: ExtentCell}, "host(s) lack 4 gpu near one cell"}},
		"devices where there is room":      {gpus(), []v1alpha1.Placement{placed(4, 0, bind(1, 4, 0))}, request(1, gib, singleCell, with("gpu", 3)), lack{Lack{Device: "gpu", Extent: ExtentCell, Beside: true}, "host(s) lack 3 gpu near one cell with room for the VM"}},
		"devices where the others are":     {gpus(), []v1alpha1.Placement{given("03", "c0", "c1")}, request(1, gib, singleCell, with("gpu", 1), with("nic", 1)), lack{Lack{Device: "nic", Extent: ExtentCell, Beside: true}, "host(s) lack 1 nic near one cell with room for the VM"}},
		"the first of devices":             {gpus(), nil, request(1, gib, singleCell, with("gpu", 4), with("nic", 1)), lack{Lack{Device: "gpu", Extent: ExtentCell}, "host(s) lack 4 gpu near one cell"}},
		"vCPUs in even shares":             {two, []v1alpha1.Placement{placed(2, 0, bind(0, 2, 0))}, request(6, gib, restricted), lack{Lack{Resource: cpu, Extent: ExtentCells}, "host(s) lack 6 vCPUs split evenly over cells"}},
		"memory in even shares":            {two, []v1alpha1.Placement{placed(0, 7*gib, bind(1, 0, 7*gib))}, request(2, 9*gib, spread), lack{Lack{Resource: memory, Extent: ExtentCells}, "host(s) lack 9Gi of memory split evenly over cells"}},
		"odd bytes in even shares":         {two, []v1alpha1.Placement{placed(0, 1, bind(0, 0, 1))}, request(2, 16*gib-1, spread), lack{Lack{Resource: memory, Extent: ExtentCells}, "host(s) lack 16Gi of memory split evenly over cells"}},
		"memory in shares beside CPUs":     {report("1", equalCells(3, 16*gib)...), []v1alpha1.Placement{placed(4, 0, bind(0, 4, 0)), placed(0, 7*gib, bind(1, 0, 7*gib))}, request(5, 10*gib, restricted), lack{Lack{Resource: memory, Extent: ExtentCells, Beside: true}, "host(s) lack 10Gi of memory split evenly over cells beside 5 vCPUs"}},
		"memory on many cells":             {ten, []v1alpha1.Placement{placed(4, 0, bind(3, 4, 0)), placed(0, 8*gib, bind(5, 0, 8*gib))}, request(32, 68*gib, restricted), lack{Lack{Resource: memory, Extent: ExtentCells, Beside: true}, "host(s) lack 68Gi of memory split evenly over cells beside 32 vCPUs"}},
		"devices near a set of cells":      {gpus(), []v1alpha1.Placement{placed(4, 0, bind(1, 4, 0))}, request(2, gib, restricted, with("gpu", 4)), lack{Lack{Device: "gpu", Extent: ExtentCells, Beside: true}, "host(s) lack 4 gpu near one set of cells with room for the VM"}},
		"one vCPU is in one cell":          {two, nil, request(1, 9*gib, restricted), lack{Lack{Resource: memory, Extent: ExtentCell}, "host(s) lack 9Gi of memory in one cell"}},
		"idle siblings":                    {reserved, nil, request(4, gib, singleCell, apart), lack{Lack{Resource: cpu, Dedicated: true, Apart: true}, "host(s) lack 4 dedicated CPUs on cores of their own"}},
		"what no host can count with":      {two, nil, request(1, gib+mib, in1Gi), lack{Lack{}, "guest memory is not a multiple of the page size: round it up to whole pages"}},
		"devices of one name in two parts": {gpus(), nil, request(1, gib, with("gpu", 1), with("gpu", 1)), lack{Lack{}, "devices of one name are asked for twice: ask once, with a count"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.placed...)
			got, lacks := Lacks(u, test.request)
			if !lacks {
				t.Fatal("nothing is lacking")
			}
			if diff := cmp.Diff(test.want, lack{got, got.Reason(test.request)}); diff != "" {
				t.Errorf("lack (-want +got):\n%s", diff)
			}
			if got.Extent != ExtentHost && !FitsTotals(u, test.request) || cellsOf(u, test.request) != 0 {
				t.Error("FitsTotals or Quality disagrees")
			}
		})
	}
}

func TestShortagesOfDevicesNameTheMostThereIs(t *testing.T) {
	for name, test := range map[string]struct {
		placed  []v1alpha1.Placement
		request *Request
		want    string
	}{
		"of the host":                 {[]v1alpha1.Placement{given("03")}, request(1, gib, with("gpu", 4)), "need 4 gpu, 3 free"},
		"near one cell":               {nil, request(1, gib, singleCell, with("gpu", 4)), "need 4 gpu near one cell, 3 free"},
		"near one cell with room":     {[]v1alpha1.Placement{placed(4, 0, v1alpha1.PlacedCell{ID: 1, CPU: 4})}, request(1, gib, singleCell, with("gpu", 3)), "need 3 gpu near one cell with room for the VM, 2 free"},
		"beside devices of a name":    {[]v1alpha1.Placement{given("03", "c0", "c1")}, request(1, gib, singleCell, with("gpu", 1), with("nic", 1)), "need 1 nic near one cell with room for the VM, 0 free"},
		"near the cells with room":    {[]v1alpha1.Placement{placed(4, 0, v1alpha1.PlacedCell{ID: 1, CPU: 4})}, request(2, gib, spread, with("gpu", 4)), "need 4 gpu near at most 2 cells with room for the VM, 2 free"},
		"memory goes before devices":  {nil, request(1, 9*gib, singleCell, with("gpu", 4)), "need 9Gi of memory in one cell, the largest free is 8Gi"},
		"totals go before the cells'": {nil, request(1, 9*gib, singleCell, with("nic", 2)), "need 2 nic, 1 free"},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, gpus(), test.placed...)
			if _, short := Choose(u, test.request); short == nil || short.String() != test.want {
				t.Errorf("got  %v\nwant %s", short, test.want)
			}
		})
	}
}
