// Package vmpreemption is kube-scheduler's own preemption, which here evicts
// VMs and never Pods: what a Pod uses is not what a VM needs.
package vmpreemption

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "VMPreemption"

// Args are the plugin's arguments: how many hosts a dry run looks at, as in
// DefaultPreemptionArgs, with the same defaults.
type Args struct {
	// MinCandidateNodesPercentage is the share of hosts looked at; default 10.
	MinCandidateNodesPercentage *int32 `json:"minCandidateNodesPercentage,omitempty"`
	// MinCandidateNodesAbsolute is the least number of hosts looked at; default 100.
	MinCandidateNodesAbsolute *int32 `json:"minCandidateNodesAbsolute,omitempty"`
}

type plugin struct {
	*defaultpreemption.DefaultPreemption
	fleet *fleet.Fleet
	nodes fwk.NodeInfoLister
}

var (
	_ fwk.PostFilterPlugin  = &plugin{}
	_ fwk.PreEnqueuePlugin  = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
)

// New returns the plugin's factory. Arguments out of range are refused.
func New(f *fleet.Fleet) frameworkruntime.PluginFactory {
	return func(ctx context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		return newPlugin(ctx, obj, handle, f)
	}
}

func newPlugin(ctx context.Context, obj runtime.Object, handle fwk.Handle, f *fleet.Fleet) (*plugin, error) {
	args := Args{}
	if obj != nil {
		if err := frameworkruntime.DecodeInto(obj, &args); err != nil {
			return nil, fmt.Errorf("decoding arguments of %s: %w", Name, err)
		}
	}
	internal := &config.DefaultPreemptionArgs{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100}
	if args.MinCandidateNodesPercentage != nil {
		internal.MinCandidateNodesPercentage = *args.MinCandidateNodesPercentage
	}
	if args.MinCandidateNodesAbsolute != nil {
		internal.MinCandidateNodesAbsolute = *args.MinCandidateNodesAbsolute
	}
	upstream, err := defaultpreemption.New(ctx, internal, handle, feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate))
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", Name, err)
	}
	upstream.IsEligiblePod = eligible
	return &plugin{DefaultPreemption: upstream, fleet: f, nodes: handle.SnapshotSharedLister().NodeInfos()}, nil
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// eligible says whether a victim may be evicted: only if all of it are VMs. What
// a VM is to have more, held until it is granted, is none by itself.
func eligible(_ fwk.NodeInfo, victim preemption.Victim, _ *corev1.Pod) bool {
	for _, info := range victim.Pods() {
		if name := info.GetPod().Name; !podless.IsProjected(name) || podless.IsGrowth(name) {
			return false
		}
	}
	return true
}
