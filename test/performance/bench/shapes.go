package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// shape is what workloads ask for: the same as a Pod and as a VM.
type shape struct {
	cpu    int32
	memory resource.Quantity
	// hugepages of 1Gi hold the memory, when true.
	hugepages bool
	// numa is the VM's alone: kube-scheduler knows no cells.
	numa v1alpha1.NUMAPolicy
	// rules returns the labels of workload i and its rules about others.
	rules func(i int) rules
	// unschedulable says whether workload i asks for more than any host has.
	unschedulable func(i int) bool
	// fill has every Node filled with workloads of low priority beforehand, and
	// the workloads of this shape evict them.
	fill bool
}

// rules are what a workload asks of others.
type rules struct {
	labels   map[string]string
	affinity *corev1.Affinity
	spread   []corev1.TopologySpreadConstraint
}

// groupSize is how many workloads have rules about each other.
const groupSize = 20

var shapes = map[string]shape{
	"plain":       {cpu: 2, memory: resource.MustParse("4Gi")},
	"single-cell": {cpu: 2, memory: resource.MustParse("4Gi"), hugepages: true, numa: v1alpha1.NUMASingleCell},
	"anti-affinity": {cpu: 2, memory: resource.MustParse("4Gi"), rules: func(i int) rules {
		own := map[string]string{"group": strconv.Itoa(i / groupSize)}
		return rules{labels: own, affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: own},
			}},
		}}}
	}},
	"spread": {cpu: 2, memory: resource.MustParse("4Gi"), rules: func(i int) rules {
		own := map[string]string{"group": strconv.Itoa(i / groupSize)}
		return rules{labels: own, spread: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: own},
		}}}
	}},
	"unschedulable": {cpu: 2, memory: resource.MustParse("4Gi"), unschedulable: func(i int) bool { return i%10 == 9 }},
	"preemption":    {cpu: hostCPUs - 4, memory: resource.MustParse("16Gi"), fill: true},
}

func shapeNames() []string { return slices.Sorted(maps.Keys(shapes)) }

// tooMany is more than any host has.
const tooMany = 1000

// Names that all objects of a run share.
const (
	namespace    = "bench"
	occupied     = "bench-occupied"
	lowPriority  = "bench-low"
	highPriority = "bench-high"
	fillPrefix   = "fill-"
	workPrefix   = "w-"

	hugepages1Gi corev1.ResourceName = corev1.ResourceHugePagesPrefix + "1Gi"
)

func (s *shape) of(i int) (cpu int32, r rules) {
	cpu = s.cpu
	if s.unschedulable != nil && s.unschedulable(i) {
		cpu = tooMany
	}
	if s.rules != nil {
		r = s.rules(i)
	}
	return cpu, r
}

func (s *shape) priority(filler bool) string {
	switch {
	case !s.fill:
		return ""
	case filler:
		return lowPriority
	}
	return highPriority
}

func name(i int, filler bool) string {
	if filler {
		return fmt.Sprintf("%s%05d", fillPrefix, i)
	}
	return fmt.Sprintf("%s%05d", workPrefix, i)
}

// pod is workload i as a Pod.
func (s *shape) pod(i int, filler bool) *corev1.Pod {
	_, r := s.of(i)
	// QEMU's overhead included: both schedulers count the same.
	need := capacity.Request(capacity.Desired(&s.vm(i, filler).Spec), nil)
	requests := corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(need.CPU, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(need.Memory, resource.BinarySI)}
	limits := corev1.ResourceList{}
	if s.hugepages {
		pages := *resource.NewQuantity(need.Hugepages1Gi, resource.BinarySI)
		requests[hugepages1Gi], limits[hugepages1Gi] = pages, pages
	}
	grace := int64(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name(i, filler), Labels: r.labels},
		Spec: corev1.PodSpec{
			Affinity: r.affinity, TopologySpreadConstraints: r.spread,
			PriorityClassName: s.priority(filler), TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "main", Image: "example/guest:1", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}},
		},
	}
}

// domain is what most VMs have: a disk, an interface, a console.
const domain = `{"type":"kvm","os":{"type":{"arch":"x86_64","machine":"q35","type":"hvm"}},"features":{"acpi":{},"apic":{}},` +
	`"devices":{"disks":[{"device":"disk","driver":{"name":"qemu","type":"qcow2"},"source":{"volume":{"pool":"default","volume":"disk"}},"target":{"dev":"vda","bus":"virtio"}}],` +
	`"interfaces":[{"source":{"network":{"network":"default"}},"model":{"type":"virtio"}}],"serials":[{"source":{"pty":{}}}]}}`

// vm is workload i as a VirtualMachine.
func (s *shape) vm(i int, filler bool) *v1alpha1.VirtualMachine {
	cpu, r := s.of(i)
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name(i, filler), Labels: r.labels},
		Spec: v1alpha1.VirtualMachineSpec{
			SchedulerName:     v1alpha1.DefaultSchedulerName,
			Resources:         v1alpha1.VirtualMachineResources{CPU: cpu, Memory: s.memory, NUMA: s.numa},
			Affinity:          r.affinity,
			PriorityClassName: s.priority(filler), TopologySpreadConstraints: r.spread,
			Domain: &runtime.RawExtension{Raw: []byte(domain)},
		},
	}
	if s.hugepages {
		vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
	}
	return vm
}

// expected is how many of n workloads are bound in the end.
func (s *shape) expected(n int) int {
	if s.unschedulable == nil {
		return n
	}
	bound := 0
	for i := range n {
		if !s.unschedulable(i) {
			bound++
		}
	}
	return bound
}
