package executor

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// share is half of twoCells' first cell with a quarter of its pages.
func share() []hostconfig.ShareConfiguration {
	return []hostconfig.ShareConfiguration{{Cell: 0, CPUs: "1-3", Memory: resource.MustParse("4Gi"), Hugepages2Mi: 512}}
}

// kubelet is the Node of twoCells as a kubelet reports it that reserves CPUs and
// ordinary memory, and offers pages of 2 MiB to pods.
func kubelet(cpus, memory string, pages2Mi int64) corev1.NodeStatus {
	amounts := func(cpu, memory, in2Mi int64) corev1.ResourceList {
		return corev1.ResourceList{
			"cpu": *resource.NewMilliQuantity(cpu, resource.DecimalSI), "memory": *resource.NewQuantity(memory, resource.BinarySI),
			"hugepages-2Mi": *resource.NewQuantity(in2Mi, resource.BinarySI), "hugepages-1Gi": *resource.NewQuantity(8<<30, resource.BinarySI),
		}
	}
	c, m := resource.MustParse(cpus), resource.MustParse(memory)
	in2Mi := pages2Mi << 21
	return corev1.NodeStatus{
		Capacity:    amounts(8000, 32<<30, in2Mi),
		Allocatable: amounts(8000-c.MilliValue(), 32<<30-m.Value()-in2Mi-8<<30, in2Mi),
	}
}

func TestPartitionedHosts(t *testing.T) {
	ownCells := []v1alpha1.Cell{
		{
			ID: 0, CPUs: "1-3", Siblings: []string{"2-3"}, Memory: 5 << 30,
			Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: 512}}, Distances: []v1alpha1.CellDistance{{Cell: 1, Distance: 21}},
		},
		{ID: 1, Distances: []v1alpha1.CellDistance{{Cell: 0, Distance: 21}}},
	}
	whole := v1alpha1.HostCapacity{CPU: 3, Memory: 4 << 30, Hugepages2Mi: 1 << 30}
	for name, c := range map[string]struct {
		share       []hostconfig.ShareConfiguration
		node        corev1.NodeStatus
		foreign     []libvirt.Domain
		cells       []v1alpha1.Cell
		capacity    v1alpha1.HostCapacity
		allocatable v1alpha1.HostCapacity
		missing     string
	}{
		// Of the pools' 4 GiB in pages of 2 MiB the kubelet has seen 2: the other
		// pages came later, and their memory must be reserved too.
		"a kubelet that leaves the share alone": {
			share: share(), node: kubelet("3", "6Gi", 1024), cells: ownCells, capacity: whole,
			allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 4 << 30, Hugepages2Mi: 1 << 30},
		},
		"a kubelet that reserves more than the share": {
			share: share(), node: kubelet("5", "10Gi", 0), cells: ownCells, capacity: whole,
			allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 4 << 30, Hugepages2Mi: 1 << 30},
		},
		"a kubelet that reserves too few CPUs": {
			share: share(), node: kubelet("2500m", "6Gi", 1024), cells: ownCells, capacity: whole,
			allocatable: v1alpha1.HostCapacity{CPU: 8, Memory: 4 << 30, Hugepages2Mi: 1 << 30},
			missing:     "the kubelet keeps 2 of the share's 3 CPUs from pods: have its reservedSystemCPUs include 1-3",
		},
		"a kubelet that reserves too little memory": {
			share: share(), node: kubelet("3", "5Gi", 1024), cells: ownCells, capacity: whole,
			allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 3 << 30, Hugepages2Mi: 1 << 30},
			missing:     "the kubelet keeps 3Gi of the share's 4Gi of memory from pods: raise its systemReserved or kubeReserved memory, and reservedMemory where it has one, by 1Gi",
		},
		"a kubelet that offers the share's pages to pods": {
			share: share(), node: kubelet("3", "6Gi", 1792), cells: ownCells, capacity: whole,
			allocatable: v1alpha1.HostCapacity{CPU: 12, Memory: 4 << 30, Hugepages2Mi: 1 << 29},
			missing:     "the kubelet keeps 512Mi of the share's 1Gi of 2Mi hugepages from pods, and has no setting to reserve any: allocate the share's after the kubelet has started, and add their memory to its systemReserved",
		},
		"a kubelet that reserves nothing": {
			share: []hostconfig.ShareConfiguration{{Cell: 0, CPUs: "1-3", Memory: resource.MustParse("4Gi")}}, node: kubelet("0", "0", 2048),
			cells: []v1alpha1.Cell{
				{ID: 0, CPUs: "1-3", Siblings: []string{"2-3"}, Memory: 4 << 30, Distances: []v1alpha1.CellDistance{{Cell: 1, Distance: 21}}}, ownCells[1],
			},
			capacity: v1alpha1.HostCapacity{CPU: 3, Memory: 4 << 30},
			missing: "the kubelet keeps 0 of the share's 3 CPUs from pods: have its reservedSystemCPUs include 1-3; " +
				"the kubelet keeps 0 of the share's 4Gi of memory from pods: raise its systemReserved or kubeReserved memory, and reservedMemory where it has one, by 4Gi",
		},
		"a share that the host does not have": {
			share: []hostconfig.ShareConfiguration{
				{Cell: 0, CPUs: "3-4", Memory: resource.MustParse("4Gi"), Hugepages1Gi: 5}, {Cell: 2, CPUs: "8", Memory: resource.MustParse("1Gi")},
			},
			node: kubelet("3", "12Gi", 0),
			cells: []v1alpha1.Cell{
				{
					ID: 0, CPUs: "3", Memory: 8 << 30, Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 4}},
					Distances: []v1alpha1.CellDistance{{Cell: 1, Distance: 21}},
				}, ownCells[1],
			},
			capacity: v1alpha1.HostCapacity{CPU: 1, Memory: 4 << 30, Hugepages1Gi: 4 << 30}, allocatable: v1alpha1.HostCapacity{CPU: 4, Memory: 4 << 30},
			missing: "NUMA cell 0 has no CPUs 4: change share; NUMA cell 0 has 4Gi of the share's 5Gi of 1Gi hugepages: change share; " +
				"the host has no NUMA cell 2: change share; " +
				"the kubelet keeps 0 of the share's 4Gi of 1Gi hugepages from pods, and has no setting to reserve any: allocate the share's after the kubelet has started, and add their memory to its systemReserved",
		},
		"a foreign domain counts against the share, since memory is not of either part": {
			share: share(), node: kubelet("3", "6Gi", 1024), capacity: whole,
			foreign: []libvirt.Domain{{
				UUID: "f", State: libvirt.StateRunning, CPU: 1, Memory: 6 << 30, Binding: libvirt.Binding{
					VCPUs: map[int]string{0: "0-1"}, Cells: []libvirt.BoundMemory{{Cell: 0, Memory: 6 << 30}},
				},
			}},
			cells: []v1alpha1.Cell{func(c v1alpha1.Cell) v1alpha1.Cell {
				c.Foreign = &v1alpha1.ForeignUse{CPUs: "1", Memory: 4 << 30}
				return c
			}(ownCells[0]), ownCells[1]},
			allocatable: v1alpha1.HostCapacity{CPU: 11, Hugepages2Mi: 1 << 30},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := hostconfig.HostConfiguration{Mode: hostconfig.ModePartitioned, Share: c.share, CPUOvercommit: resource.MustParse("4")}
			pods := &podResources{capacity: c.node.Capacity, allocatable: c.node.Allocatable}
			a := offer(config, twoCells(), pods, others{foreign: c.foreign})
			if diff := cmp.Diff(c.cells, a.status.Cells); diff != "" {
				t.Errorf("cells: %s", diff)
			}
			if diff := cmp.Diff([]v1alpha1.HostCapacity{c.capacity, c.allocatable}, []v1alpha1.HostCapacity{a.status.Capacity, a.status.Allocatable}); diff != "" {
				t.Errorf("capacity and allocatable: %s", diff)
			}
			if a.status.Summary.Cells != 1 || a.status.Mode != v1alpha1.ModePartitioned {
				t.Errorf("got %d cells, mode %s", a.status.Summary.Cells, a.status.Mode)
			}
			want := metav1.Condition{
				Type: "Partitioned", Status: metav1.ConditionTrue, Reason: "ShareReserved", Message: "the kubelet leaves the VMs' share alone",
				ObservedGeneration: 1, LastTransitionTime: metav1.Time{Time: vmtest.Now},
			}
			if c.missing != "" {
				want.Status, want.Reason, want.Message = metav1.ConditionFalse, "ShareNotReserved", c.missing
			}
			status := v1alpha1.HypervisorStatus{}
			wantHypervisor(&status, &a, true, v1alpha1.Versions{}, 1, vmtest.Now)
			if diff := cmp.Diff(&want, meta.FindStatusCondition(status.Conditions, "Partitioned")); diff != "" {
				t.Error(diff)
			}
			if _, err := numa.FromHypervisor(&status); err != nil {
				t.Errorf("the scheduler cannot count with it: %v", err)
			}
		})
	}
}

// partition makes the stage's host a partitioned one whose kubelet leaves the
// share alone.
func partition(s *stage) {
	s.host.description = twoCells()
	s.config.RegisterNode, s.config.Mode, s.config.Share = false, hostconfig.ModePartitioned, share()
	s.restart()
}

func TestAPartitionedHostsNodeIsOpenToPods(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: vmtest.Node}, Status: kubelet("3", "6Gi", 1024)}
	s := newStage(t, node)
	s.config.RegisterNode = false
	s.restart()
	theirs := corev1.Taint{Key: "example.com/theirs", Effect: corev1.TaintEffectNoSchedule}
	own := corev1.Taint{Key: "domus.dev/hypervisor", Effect: corev1.TaintEffectNoSchedule, TimeAdded: &metav1.Time{Time: vmtest.Now}}
	node = s.node()
	node.Spec.Taints = []corev1.Taint{theirs}
	if err := s.api.Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if diff := cmp.Diff([]corev1.Taint{theirs, own}, s.node().Spec.Taints); diff != "" {
		t.Errorf("dedicated: %s", diff)
	}
	partition(s)
	s.sync()
	if diff := cmp.Diff([]corev1.Taint{theirs}, s.node().Spec.Taints); diff != "" {
		t.Errorf("partitioned: %s", diff)
	}
	if got := meta.FindStatusCondition(s.hypervisor().Status.Conditions, "Partitioned"); got == nil || got.Status != metav1.ConditionTrue {
		t.Errorf("partitioned: %+v", got)
	}
	s.config.Mode, s.config.Share = hostconfig.ModeDedicated, nil
	s.restart()
	s.sync()
	if got := meta.FindStatusCondition(s.hypervisor().Status.Conditions, "Partitioned"); got != nil {
		t.Errorf("dedicated again: %+v", got)
	}
}

func TestAPartitionedHostAcceptsNothingBeforeItsKubeletIsKnown(t *testing.T) {
	s := newStage(t, vmtest.Bound(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: vmtest.Node}, Status: kubelet("3", "6Gi", 1024)})
	partition(s)
	if err := s.turn(); err == nil {
		t.Fatal("it was decided about")
	}
	if h := s.said(); h != nil {
		t.Errorf("it said %+v", h)
	}
	s.sync()
	s.mustTurn()
	// A guest is kept off the pods' CPUs although no VM has any to itself.
	want := libvirt.Binding{VCPUs: map[int]string{0: "1-3"}, Emulator: "1-3"}
	if diff := cmp.Diff(want, s.host.domains[vmtest.UID].Binding); diff != "" {
		t.Error(diff)
	}
}
