package hostheadroom

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

func apart(vm *v1alpha1.VirtualMachine) {
	dedicated(vm)
	vm.Spec.Resources.Threads = v1alpha1.ThreadsApart
}

func TestWhatARestartTakesOfAHost(t *testing.T) {
	topology, err := numa.FromHypervisor(&v1alpha1.HypervisorStatus{
		CPUOvercommit: "1.5", Allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 32 * gib},
		Cells: []v1alpha1.Cell{{CPUs: "0-7", Siblings: []string{"0,4", "1,5", "2,6", "3,7"}, Memory: 32 * gib}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{usage: numa.NewUsage(&topology), threads: threadsOf(&topology)}
	for name, test := range map[string]struct {
		vm   *corev1.Pod
		want int64
	}{
		"shared vCPUs are what they are":                    {newTestVM("vm", sized(3, 1)), 3},
		"a dedicated CPU would have offered one and a half": {newTestVM("vm", sized(3, 1), dedicated), 5},
		"and its idle sibling as well":                      {newTestVM("vm", sized(3, 1), apart), 9},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.cost(newVM(test.vm, capacity.Resources{CPU: 3, Memory: gib}))
			if diff := cmp.Diff(capacity.Resources{CPU: test.want, Memory: gib}, got); diff != "" {
				t.Errorf("cost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABoundVMIsReadFromItsPlacement(t *testing.T) {
	granted := v1alpha1.GrantedResources{CPU: 4, Memory: gib}
	for name, test := range map[string]struct {
		placement string
		want      numa.Request
	}{
		"one cell":    {`{"granted":{"cpu":4,"memory":1073741824},"cells":[{"id":1,"cpu":4,"memory":1073741824}]}`, numa.Request{Granted: granted, NUMA: v1alpha1.NUMASingleCell}},
		"two cells":   {`{"granted":{"cpu":4,"memory":1073741824},"cells":[{"id":0,"cpu":2,"memory":536870912},{"id":1,"cpu":2,"memory":536870912}]}`, numa.Request{Granted: granted, NUMA: v1alpha1.NUMARestricted}},
		"pinned CPUs": {`{"granted":{"cpu":4,"memory":1073741824},"cells":[{"id":1,"cpu":4,"cpus":"0-3"}]}`, numa.Request{Granted: granted, CPUPolicy: v1alpha1.CPUDedicated}},
		"apart, with devices": {
			`{"granted":{"cpu":4,"memory":1073741824},"cells":[{"id":1,"cpu":4,"memory":1073741824,"cpus":"0-3","idle":"4-7"}],"devices":[{"name":"nic","address":"0000:00:01.0"},{"name":"nic","address":"0000:00:02.0"}]}`,
			numa.Request{Granted: granted, NUMA: v1alpha1.NUMASingleCell, CPUPolicy: v1alpha1.CPUDedicated, Threads: v1alpha1.ThreadsApart, Devices: []v1alpha1.DeviceRequest{{Name: "nic", Count: 2}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := placedRequest(test.placement)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}
