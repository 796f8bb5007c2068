package integration

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestImpossibleIsSaidAtOnce(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	small := shape{cells: 2, cpus: 4, threads: 2, memory: 16 * gib, pages2Mi: 1024}
	single := numaPolicy(v1alpha1.NUMASingleCell)
	for name, test := range map[string]struct {
		cpu  int32
		gb   int64
		asks []func(*v1alpha1.VirtualMachine)
		says string
		// fits is a host that can hold it.
		fits shape
	}{
		"more CPUs than any host has": {
			12, 1, nil, "no host that it may use could hold it even when empty. 2 hosts: need 12 vCPUs, the largest host has 8 (",
			shape{cells: 2, cpus: 8, memory: 16 * gib},
		},
		"pages of a size that no host has": {
			1, 4, []func(*v1alpha1.VirtualMachine){hugepages(v1alpha1.PageSize1Gi)}, "no host that it may use could hold it even when empty. 2 hosts: need 4Gi of 1Gi hugepages, the largest host has 0 (",
			shape{cells: 2, cpus: 4, memory: 16 * gib, pages1Gi: 2},
		},
		"more CPUs than any cell has": {
			6, 1, []func(*v1alpha1.VirtualMachine){single}, "no host that it may use could hold it even when empty. 2 hosts: need 6 vCPUs in one cell, the largest host has 4 (",
			shape{cells: 1, cpus: 8, memory: 16 * gib},
		},
		"more memory than any cell has": {
			1, 20, []func(*v1alpha1.VirtualMachine){single}, "no host that it may use could hold it even when empty. 2 hosts: need 20Gi of memory in one cell, the largest host has 16Gi (",
			shape{cells: 2, cpus: 4, memory: 24 * gib},
		},
		"more pages than any cell has": {
			1, 3, []func(*v1alpha1.VirtualMachine){single, hugepages(v1alpha1.PageSize2Mi)}, "no host that it may use could hold it even when empty. 2 hosts: need 3Gi of 2Mi hugepages in one cell, the largest host has 2Gi (",
			shape{cells: 2, cpus: 4, memory: 16 * gib, pages2Mi: 2048},
		},
		"more cores of its own than any cell has": {
			3, 1, []func(*v1alpha1.VirtualMachine){single, dedicated, threadsApart}, "no host that it may use could hold it even when empty. 2 hosts: need 3 dedicated CPUs on cores of their own in one cell, the largest host has 2 (",
			shape{cells: 2, cpus: 8, threads: 2, memory: 16 * gib},
		},
		"a device that no host has": {
			1, 1, []func(*v1alpha1.VirtualMachine){devices("gpu", 1)}, "no host that it may use offers device gpu; there are none. 2 hosts: offer no device gpu",
			shape{cells: 2, cpus: 4, memory: 16 * gib, devices: functions("gpu", 1, 1)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t, nil)
			described(t, ns, 2, small)
			// An urgent VM would evict others: it does not help this one either.
			urgentClass(t, ns+"-urgent")
			create(t, newVM(ns, "other", 1, 1))
			waitVM(t, ns, "other", bound)
			create(t, newVM(ns, "vm", test.cpu, test.gb, append(test.asks, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = ns + "-urgent" })...))
			waitVM(t, ns, "vm", waiting("Unschedulable", test.says))
			if note := eventOn(t, ns, "vm", "FailedScheduling"); !strings.Contains(note, test.says) {
				t.Errorf("event says %q", note)
			}
			if other := waitVM(t, ns, "other", bound); other.Status.Eviction != nil {
				t.Error("another VM is evicted in vain")
			}
			describe(t, ns, ns+"-large", test.fits)
			waitVM(t, ns, "vm", boundTo(ns+"-large"))
		})
	}
}
