package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// A host has two cells with half of all.
const (
	hostCPUs    = 64
	hostMemory  = int64(256) << 30
	hostPages   = int64(128) << 30
	zones       = 10
	writersAtUp = 50
)

func hostName(i int) string { return fmt.Sprintf("host-%04d", i) }

// createHosts makes Nodes that offer the same to Pods, by a kubelet's
// resources, and to VMs, by an executor's.
func (p *plane) createHosts(ctx context.Context, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writersAtUp)
	for i := range n {
		g.Go(func() error { return p.createHost(ctx, i) })
	}
	return g.Wait()
}

func (p *plane) createHost(ctx context.Context, i int) error {
	name := hostName(i)
	cpu, memory, pages := *resource.NewQuantity(hostCPUs, resource.DecimalSI), *resource.NewQuantity(hostMemory, resource.BinarySI), *resource.NewQuantity(hostPages, resource.BinarySI)
	offer := corev1.ResourceList{
		corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory, hugepages1Gi: pages, corev1.ResourcePods: resource.MustParse("500"),
		v1alpha1.ResourceCPU: cpu, v1alpha1.ResourceMemory: memory, v1alpha1.ResourceHugepages1Gi: pages, v1alpha1.ResourceHugepages2Mi: resource.MustParse("0"),
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%zones), v1alpha1.HypervisorLabel: "true",
	}}}
	if err := p.client.Create(ctx, node); err != nil {
		return fmt.Errorf("creating Node %s: %w", name, err)
	}
	// The API server taints new Nodes as not ready, and no controller lifts it.
	node.Spec.Taints = nil
	if err := p.client.Update(ctx, node); err != nil {
		return fmt.Errorf("lifting the taint of Node %s: %w", name, err)
	}
	node.Status.Capacity, node.Status.Allocatable = offer, offer
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Bench"}}
	if err := p.client.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("reporting for Node %s: %w", name, err)
	}
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := p.client.Create(ctx, hv); err != nil {
		return fmt.Errorf("creating Hypervisor %s: %w", name, err)
	}
	hv.Status = report()
	if err := p.client.Status().Update(ctx, hv); err != nil {
		return fmt.Errorf("reporting for Hypervisor %s: %w", name, err)
	}
	return nil
}

// report is what the executor of such a host writes.
func report() v1alpha1.HypervisorStatus {
	all := v1alpha1.HostCapacity{CPU: hostCPUs, Memory: hostMemory, Hugepages1Gi: hostPages}
	s := v1alpha1.HypervisorStatus{Mode: v1alpha1.ModeDedicated, Capacity: all, Allocatable: all, CPUOvercommit: "1"}
	half := hostCPUs / 2
	for id := range int32(2) {
		cell := v1alpha1.Cell{
			ID: id, CPUs: fmt.Sprintf("%d-%d", int(id)*half, int(id+1)*half-1), Memory: (hostMemory + hostPages) / 2,
			Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: hostPages / 2 >> 30}},
			Distances: []v1alpha1.CellDistance{{Cell: id, Distance: 10}, {Cell: 1 - id, Distance: 21}},
		}
		for c := int(id) * half; c < int(id+1)*half; c += 2 {
			cell.Siblings = append(cell.Siblings, fmt.Sprintf("%d-%d", c, c+1))
		}
		s.Cells = append(s.Cells, cell)
	}
	kvm := v1alpha1.DomainType{Type: "kvm", Arch: "x86_64", Firmware: []string{"bios", "efi"}, SecureBoot: true}
	for i := range 40 {
		kvm.Machines = append(kvm.Machines, fmt.Sprintf("pc-q35-%d.%d", i/10, i%10))
		kvm.CPUModels = append(kvm.CPUModels, fmt.Sprintf("Model-%d", i))
	}
	kvm.Machines = append(kvm.Machines, "q35", "pc")
	s.DomainTypes = []v1alpha1.DomainType{kvm}
	return s
}
