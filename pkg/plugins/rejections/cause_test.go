package rejections

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

func TestCause(t *testing.T) {
	for _, test := range []struct{ plugin, reason, want string }{
		{"TaintToleration", "node(s) had untolerated taint: domus.dev/executor-unreachable:NoSchedule", CauseUnreachable},
		{"TaintToleration", "node(s) had untolerated taint: team=red:NoSchedule", CauseTaint},
		{"NodeUnschedulable", "node(s) were unschedulable", CauseCordoned},
		{"HostCompatibility", "host(s) have no CPU model EPYC-Milan", CauseIncompatible},
		{"HostResources", "host(s) run no vm-executor", CauseNoExecutor},
		{"HostNUMA", "host(s) lack 2 gpu near one cell", CauseDevice},
		{"HostNUMA", "host(s) lack 16Gi of 1Gi hugepages in one cell beside 4 vCPUs", CauseHugepages1Gi},
		{"HostResources", "host(s) lack 2Gi + 150Mi overhead of memory", CauseMemory},
		{"HostHeadroom", "host(s) lack room that is kept", CauseHeadroom},
		{"DiskLocality", "host(s) have no active storage pool fast", CauseDisk},
		{"SomebodyElses", "no", CauseOther},
	} {
		if got := (Kind{Plugin: test.plugin, Reason: test.reason}).Cause(); got != test.want {
			t.Errorf("%s: %s: cause %s, want %s", test.plugin, test.reason, got, test.want)
		}
	}
}

// What package numa says of any lack is put under the resource that is short.
func TestCauseOfLacks(t *testing.T) {
	causes := map[string]string{
		string(v1alpha1.ResourceCPU): CauseCPU, string(v1alpha1.ResourceMemory): CauseMemory,
		string(v1alpha1.ResourceHugepages2Mi): CauseHugepages2Mi, string(v1alpha1.ResourceHugepages1Gi): CauseHugepages1Gi,
	}
	rapid.Check(t, func(t *rapid.T) {
		spec := &v1alpha1.VirtualMachineSpec{Resources: v1alpha1.VirtualMachineResources{
			CPU:       rapid.Int32Range(1, 300).Draw(t, "cpu"),
			CPUPolicy: rapid.SampledFrom([]v1alpha1.CPUPolicy{v1alpha1.CPUShared, v1alpha1.CPUDedicated}).Draw(t, "policy"),
			Threads:   rapid.SampledFrom([]v1alpha1.ThreadPolicy{"", v1alpha1.ThreadsApart}).Draw(t, "threads"),
			NUMA:      rapid.SampledFrom([]v1alpha1.NUMAPolicy{v1alpha1.NUMANone, v1alpha1.NUMASingleCell, v1alpha1.NUMASpread}).Draw(t, "numa"),
			Devices:   []v1alpha1.DeviceRequest{{Name: "memory", Count: rapid.Int32Range(1, 3).Draw(t, "devices")}},
		}}
		spec.Resources.Memory.Set(rapid.Int64Range(1, 1<<40).Draw(t, "memory"))
		if size := rapid.SampledFrom([]v1alpha1.PageSize{"", v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi}).Draw(t, "pages"); size != "" {
			spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: size}
		}
		request := numa.RequestOf(spec, capacity.Desired(spec))
		l := numa.Lack{
			Extent: rapid.SampledFrom([]numa.Extent{numa.ExtentHost, numa.ExtentCell, numa.ExtentCells}).Draw(t, "extent"),
			Beside: rapid.Bool().Draw(t, "beside"), Dedicated: request.Dedicated(), Apart: spec.Resources.Threads == v1alpha1.ThreadsApart,
		}
		want := CauseDevice
		if resource := rapid.SampledFrom(append(v1alpha1.HostResources(), "")).Draw(t, "resource"); resource == "" {
			l.Device = "memory"
		} else {
			l.Resource, want = resource, causes[string(resource)]
		}
		k := Kind{Plugin: "HostNUMA", Reason: l.Reason(&request)}
		if got := k.Cause(); got != want || !slices.Contains(Causes(), got) {
			t.Fatalf("%q: cause %s, want %s", k.Reason, got, want)
		}
	})
}
