// Package vmbinder binds projected VMs: it hands the scheduler's choice to
// pkg/controller/binding, which writes it on the VirtualMachine.
package vmbinder

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "VMBinder"

// Binder writes a placement; see binding.Binder.
type Binder interface {
	// Bind places the VM on node; reserved holds its cells and devices, and is
	// nil for a VM that is bound to none.
	Bind(ctx context.Context, vm podless.Identity, generation int64, node string, reserved *v1alpha1.Placement) error
	// Grow grants the VM on node the amounts more that its spec of generation asks
	// for.
	Grow(ctx context.Context, vm podless.Identity, generation int64, node string, more capacity.Resources) error
}

type plugin struct {
	binder Binder
	fleet  *fleet.Fleet
}

var _ fwk.BindPlugin = &plugin{}

// New returns the plugin's factory. What HostNUMA has reserved is in f.
func New(b Binder, f *fleet.Fleet) frameworkruntime.PluginFactory {
	return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
		return &plugin{binder: b, fleet: f}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// Bind implements framework.BindPlugin. Anything but a projected VM is an
// error: there is nobody else to bind it, and nothing real is ever queued here.
func (p *plugin) Bind(ctx context.Context, _ fwk.CycleState, pod *corev1.Pod, node string) *fwk.Status {
	if vm, generation, grows := podless.ParseGrowth(pod.Namespace, pod.Name, pod.UID); grows {
		if err := p.binder.Grow(ctx, vm, generation, node, podless.RequestOf(pod)); err != nil {
			return fwk.AsStatus(err)
		}
		bound(pod)
		return nil
	}
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return fwk.AsStatus(fmt.Errorf("binding pod %s/%s: %w", pod.Namespace, pod.Name, podless.ErrRealPod))
	}
	reserved := p.fleet.Reserved(pod)
	if reserved == nil {
		request, err := podless.NUMARequestOf(pod)
		if err != nil {
			return fwk.AsStatus(err)
		}
		if !request.Floats() {
			return fwk.NewStatus(fwk.Error, "nobody has chosen the VM's NUMA cells, CPUs and devices: enable plugin HostNUMA in the scheduler's profile "+pod.Spec.SchedulerName)
		}
	}
	if err := p.binder.Bind(ctx, vm, pod.Generation, node, reserved); err != nil {
		return fwk.AsStatus(err)
	}
	bound(pod)
	return nil
}

// bound counts an attempt that came to its end. The others are counted where
// the scheduler handles failures.
func bound(pod *corev1.Pod) {
	profile, purpose := podless.ProfileOf(pod)
	metrics.Attempted(profile, purpose, metrics.ResultBound, metrics.ReasonBound)
}
