package numa

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestAdmit(t *testing.T) {
	host := func() *v1alpha1.HypervisorStatus {
		return report("1", cell(0, "0-3", 8*gib), cell(1, "4-7", 8*gib, pages(v1alpha1.PageSize1Gi, 4)))
	}
	shrunk := host()
	shrunk.Allocatable.Hugepages1Gi = 0
	in := func(id, cpu int32, memory int64, cpus string) v1alpha1.PlacedCell {
		return v1alpha1.PlacedCell{ID: id, CPU: cpu, Memory: memory, CPUs: cpus}
	}
	huge := v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 2 * gib, PageSize: v1alpha1.PageSize1Gi}}
	for name, test := range map[string]struct {
		host   *v1alpha1.HypervisorStatus
		before []v1alpha1.Placement
		placed v1alpha1.Placement
		want   string
	}{
		"what fits":                             {host(), nil, placed(4, 8*gib, in(0, 4, 8*gib, "0-3")), ""},
		"what is not needed may be short":       {shrunk, []v1alpha1.Placement{huge}, placed(1, gib, in(0, 1, gib, "")), ""},
		"the host is full":                      {host(), []v1alpha1.Placement{placed(1, 10*gib)}, placed(1, 3*gib, in(0, 1, 3*gib, "")), "need 3Gi of memory, 2Gi free"},
		"the cell is full":                      {host(), []v1alpha1.Placement{placed(1, 6*gib, in(0, 1, 6*gib, ""))}, placed(1, 3*gib, in(0, 1, 3*gib, "")), "need 3Gi of memory in one cell, the largest free is 2Gi"},
		"the cell's CPUs are shared":            {host(), []v1alpha1.Placement{placed(3, gib, in(0, 3, 0, ""))}, placed(2, gib, in(0, 2, 0, "")), "need 2 vCPUs in one cell, the largest free is 1"},
		"pinning would leave shared vCPUs none": {host(), []v1alpha1.Placement{placed(3, gib, in(0, 3, 0, ""))}, placed(2, gib, in(0, 2, 0, "0-1")), "need 2 vCPUs in one cell, the largest free is 1"},
		"a CPU belongs to another":              {host(), []v1alpha1.Placement{placed(1, gib, in(0, 1, 0, "1"))}, placed(2, gib, in(0, 2, 0, "1-2")), "CPUs 1 belong to another VM alone"},
		"an idle CPU belongs to another":        {host(), []v1alpha1.Placement{placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "1", Idle: "3"})}, placed(2, gib, in(0, 2, 0, "2-3")), "CPUs 3 belong to another VM alone"},
		"a cell that is gone":                   {host(), nil, placed(1, gib, in(2, 1, 0, "")), "the host has no NUMA cell 2: it has changed since the VM was placed"},
		"a CPU that is gone":                    {host(), nil, placed(2, gib, in(0, 2, 0, "3-4")), "CPUs 4 are not in NUMA cell 0: the host has changed since the VM was placed"},
		"fewer CPUs than vCPUs":                 {host(), nil, placed(2, gib, in(0, 2, 0, "3")), "2 vCPUs in NUMA cell 0 are pinned to 1 CPUs"},
		"pins that are no list":                 {host(), nil, placed(2, gib, in(0, 2, 0, "a")), `reading cpus "a" of cell 0: strconv.Atoi: parsing "a": invalid syntax`},
		"pages that are not known":              {host(), nil, v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{PageSize: "4Gi"}}, `counting a placement on a: pages of "4Gi" are not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.before...)
			before := u.Clone()
			got := ""
			if short := Admit(u, &test.placed); short != nil {
				got = short.String()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if !u.Equal(before) {
				t.Error("the account has changed")
			}
		})
	}
}
