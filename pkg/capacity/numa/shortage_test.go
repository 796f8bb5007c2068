package numa

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestShortagesNameTheLargestThatFits(t *testing.T) {
	two := report("1", equalCells(2, 16*gib)...)
	shrunk := report("1", equalCells(2, 16*gib)...)
	shrunk.Allocatable.Hugepages1Gi = 2 * gib
	reserved := threads()
	reserved.Allocatable.CPU = 6
	bind := func(id, cpu int32, memory int64) v1alpha1.PlacedCell {
		return v1alpha1.PlacedCell{ID: id, CPU: cpu, Memory: memory}
	}
	for name, test := range map[string]struct {
		host    *v1alpha1.HypervisorStatus
		placed  []v1alpha1.Placement
		request *Request
		want    string
	}{
		"memory of the host":                      {two, nil, request(1, 17*gib), "need 17Gi of memory, 16Gi free"},
		"overhead is ordinary memory of the host": {two, []v1alpha1.Placement{placed(1, 15*gib)}, request(1, gib, in1Gi, singleCell, func(r *Request) { r.Granted.Overhead = 2 * gib }), "need 2Gi of memory for QEMU's overhead, 1Gi free"},
		"memory of the host, with QEMU's own":     {two, nil, request(1, 16*gib, func(r *Request) { r.Granted.Overhead = 256 * mib }), "need 16Gi + 256Mi overhead of memory, 16Gi free"},
		"overhead that differs by little":         {two, nil, request(1, 16*gib, func(r *Request) { r.Granted.Overhead = 1 }), "need 16Gi + 1 bytes overhead of memory, 16Gi free"},
		"hugepages of the host":                   {shrunk, []v1alpha1.Placement{{Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 3 * gib, PageSize: v1alpha1.PageSize1Gi}}}, request(1, gib, in1Gi), "need 1Gi of 1Gi hugepages, 0 free"},
		"hugepages of a size that is not there":   {two, nil, request(1, gib, in2Mi, singleCell), "need 1Gi of 2Mi hugepages, 0 free"},
		"vCPUs of the host":                       {two, []v1alpha1.Placement{placed(3, gib)}, request(6, gib, restricted), "need 6 vCPUs, 5 free"},
		"dedicated CPUs of the host":              {reserved, nil, request(7, gib, dedicated), "need 7 dedicated CPUs, 6 free"},
		"dedicated CPUs beside floating vCPUs":    {threads(), []v1alpha1.Placement{placed(3, gib)}, request(6, gib, singleCell, dedicated), "need 6 dedicated CPUs, 5 free"},
		"hugepages of one cell":                   {two, []v1alpha1.Placement{{Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 2 * gib, PageSize: v1alpha1.PageSize1Gi}, Cells: []v1alpha1.PlacedCell{bind(0, 1, 2*gib)}}}, request(1, 9*gib, in1Gi, singleCell), "need 9Gi of 1Gi hugepages in one cell, the largest free is 8Gi"},
		"vCPUs of one cell":                       {two, []v1alpha1.Placement{placed(1, 0, bind(1, 1, 0))}, request(5, gib, singleCell), "need 5 vCPUs in one cell, the largest free is 4"},
		"dedicated CPUs of one cell":              {two, []v1alpha1.Placement{placed(3, 0, bind(0, 1, 0), bind(1, 2, 0))}, request(4, gib, singleCell, dedicated), "need 4 dedicated CPUs in one cell, the largest free is 3"},
		"cores of one cell":                       {threads(), nil, request(5, gib, singleCell, apart), "need 5 dedicated CPUs on cores of their own in one cell, the largest free is 4"},
		"memory where the CPUs are":               {two, []v1alpha1.Placement{placed(3, 0, bind(0, 3, 0)), placed(0, 4*gib, bind(1, 0, 4*gib))}, request(4, 6*gib, singleCell), "need 6Gi of memory in one cell beside 4 vCPUs, the largest free is 4Gi"},
		"memory in even shares":                   {two, []v1alpha1.Placement{placed(0, 7*gib, bind(1, 0, 7*gib))}, request(2, 9*gib, restricted), "need 9Gi of memory split evenly over at most 2 cells, the largest that fits is 8Gi"},
		"vCPUs in even shares":                    {two, []v1alpha1.Placement{placed(2, 0, bind(1, 2, 0))}, request(6, gib, spread), "need 6 vCPUs split evenly over at most 2 cells, the largest that fits is 5"},
		"memory in even shares where the CPUs are": {report("1", equalCells(3, 16*gib)...), []v1alpha1.Placement{placed(4, 0, bind(0, 4, 0)), placed(0, 7*gib, bind(1, 0, 7*gib))}, request(5, 10*gib, restricted),
			"need 10Gi of memory split evenly over at most 3 cells beside 5 vCPUs, the largest that fits is 2Gi"},
		"one vCPU is in one cell":                      {two, nil, request(1, 9*gib, restricted), "need 9Gi of memory in one cell, the largest free is 8Gi"},
		"amounts that differ by little are bytes":      {two, nil, request(1, 8*gib+1, singleCell), "need 8589934593 bytes of memory in one cell, the largest free is 8Gi"},
		"amounts that differ by a few Mi are in Mi":    {two, nil, request(1, 8*gib+2*mib, singleCell), "need 8194Mi of memory in one cell, the largest free is 8192Mi"},
		"and so is QEMU's own part":                    {two, nil, request(1, 16*gib, func(r *Request) { r.Granted.Overhead = 3 * mib / 2 }), "need 16384Mi + 2Mi overhead of memory, 16384Mi free"},
		"idle siblings of the host":                    {reserved, nil, request(4, gib, singleCell, apart), "need 4 dedicated CPUs on cores of their own, 3 free"},
		"cores of all cells":                           {report("1", cell(0, "0-1", gib, siblings("0-1")), cell(1, "2-3", gib, siblings("2-3"))), nil, request(3, gib, apart), "need 3 dedicated CPUs on cores of their own, 2 free"},
		"pages that do not divide memory":              {two, nil, request(1, gib+mib, in1Gi), "guest memory is not a multiple of the page size: round it up to whole pages"},
		"a page size that is not known":                {two, nil, request(1, gib, func(r *Request) { r.Granted.PageSize = "16Gi" }), "the page size is not known: use 2Mi or 1Gi"},
		"a VM of nothing":                              {two, nil, request(0, gib), "a VM needs at least one CPU and some memory"},
		"a NUMA policy of a later version":             {two, nil, request(1, gib, func(r *Request) { r.NUMA = "striped" }), "the NUMA policy is not known: use none, single-cell, restricted or spread"},
		"a CPU policy of a later version":              {two, nil, request(1, gib, func(r *Request) { r.CPUPolicy = "lent" }), "the CPU policy is not known: use shared or dedicated"},
		"a thread policy of a later version":           {two, nil, request(1, gib, func(r *Request) { r.Threads = "crossed" }), "the thread policy is not known: use together or apart"},
		"more cells than are searched one by one":      {report("1", equalCells(10, 16*gib)...), []v1alpha1.Placement{placed(1, 0, bind(3, 1, 0))}, request(39, gib, restricted), "need 39 vCPUs split evenly over at most 10 cells, the largest that fits is 36"},
		"memory in many cells, where the CPUs are too": {report("1", equalCells(10, 16*gib)...), []v1alpha1.Placement{placed(4, 0, bind(3, 4, 0)), placed(0, 8*gib, bind(5, 0, 8*gib))}, request(32, 68*gib, restricted), "need 68Gi of memory split evenly over at most 10 cells beside 32 vCPUs, the largest that fits is 64Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.placed...)
			_, short := Choose(u, test.request)
			if short == nil {
				t.Fatal("was placed")
			}
			if got := short.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if Fits(u, test.request) {
				t.Error("Fits disagrees")
			}
		})
	}
}
