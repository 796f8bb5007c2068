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

	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "VMBinder"

// Binder writes a placement; see binding.Binder.
type Binder interface {
	Bind(ctx context.Context, vm podless.Identity, generation int64, node string) error
}

type plugin struct {
	binder Binder
}

var _ fwk.BindPlugin = &plugin{}

// New returns the plugin's factory.
func New(b Binder) frameworkruntime.PluginFactory {
	return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
		return &plugin{binder: b}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// Bind implements framework.BindPlugin. Anything but a projected VM is an
// error: there is nobody else to bind it, and nothing real is ever queued here.
func (p *plugin) Bind(ctx context.Context, _ fwk.CycleState, pod *corev1.Pod, node string) *fwk.Status {
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return fwk.AsStatus(fmt.Errorf("binding pod %s/%s: %w", pod.Namespace, pod.Name, podless.ErrRealPod))
	}
	if err := p.binder.Bind(ctx, vm, pod.Generation, node); err != nil {
		return fwk.AsStatus(err)
	}
	return nil
}
