// Package hostfragmentation keeps places for large VMs: among the hosts where a
// VM fits it prefers those on which the fewest large VMs lose their place.
package hostfragmentation

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostFragmentation"

type plugin struct {
	fleet *fleet.Fleet
	// shapes are those that were configured; without any, each host has its own.
	shapes []weighted
}

var (
	_ fwk.PreScorePlugin  = &plugin{}
	_ fwk.ScorePlugin     = &plugin{}
	_ fwk.ScoreExtensions = &plugin{}
	_ fwk.SignPlugin      = &plugin{}
)

// New returns the plugin's factory. Wrong arguments are an error that names the
// field.
func New(f *fleet.Fleet) frameworkruntime.PluginFactory {
	return func(_ context.Context, obj runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
		args, err := decode(obj)
		if err != nil {
			return nil, err
		}
		return &plugin{fleet: f, shapes: args.requests()}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// SignPod implements framework.SignPlugin: VMs that ask for the same under the
// same policies are equal to this plugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return []fwk.SignFragment{{Key: "domus.dev/numa", Value: request}}, nil
}
