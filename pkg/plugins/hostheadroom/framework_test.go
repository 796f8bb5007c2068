package hostheadroom

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultbinder"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/queuesort"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/podless"
)

// scheduling is the real framework with HostResources, HostNUMA and
// HostHeadroom, over a snapshot that grows by what is placed.
type scheduling struct {
	fleet    *fleet.Fleet
	runs     framework.Framework
	snapshot *cache.Snapshot
	nodes    []*framework.NodeInfo
}

func newScheduling(t *testing.T, f *fleet.Fleet, args string, infos ...*framework.NodeInfo) *scheduling {
	t.Helper()
	metrics.Register()
	var nodes []*corev1.Node
	for _, info := range infos {
		nodes = append(nodes, info.Node())
	}
	s := &scheduling{fleet: f, snapshot: cache.NewSnapshot(nil, nodes)}
	registry := frameworkruntime.Registry{
		queuesort.Name: queuesort.New, defaultbinder.Name: defaultbinder.New,
		hostresources.Name: hostresources.New(f), hostnuma.Name: hostnuma.New(f), Name: New(f),
	}
	enabled := func(names ...string) (set schedulerconfig.PluginSet) {
		for _, name := range names {
			set.Enabled = append(set.Enabled, schedulerconfig.Plugin{Name: name, Weight: 1})
		}
		return set
	}
	profile := &schedulerconfig.KubeSchedulerProfile{SchedulerName: "vm-scheduler", Plugins: &schedulerconfig.Plugins{
		QueueSort: enabled(queuesort.Name), Bind: enabled(defaultbinder.Name),
		PreFilter: enabled(hostresources.Name, hostnuma.Name, Name), Filter: enabled(hostresources.Name, hostnuma.Name, Name),
		PreScore: enabled(Name), Score: enabled(Name),
	}, PluginConfig: []schedulerconfig.PluginConfig{{Name: Name, Args: &runtime.Unknown{Raw: []byte(args)}}}}
	var err error
	if s.runs, err = frameworkruntime.NewFramework(t.Context(), registry, profile,
		frameworkruntime.WithSnapshotSharedLister(s.snapshot), frameworkruntime.WithInformerFactory(informers.NewSharedInformerFactory(fake.NewClientset(), 0))); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		info, err := s.snapshot.Get(n.Name)
		if err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, info.(*framework.NodeInfo))
	}
	return s
}

// feasible are the nodes that take the VM, best first, and the reasons of the
// others.
func (s *scheduling) feasible(ctx context.Context, t *testing.T, pod *corev1.Pod) (nodes []*framework.NodeInfo, reasons map[string]string) {
	t.Helper()
	cs := framework.NewCycleState()
	if _, status, _ := s.runs.RunPreFilterPlugins(ctx, cs, pod); !status.IsSuccess() {
		t.Fatal(status)
	}
	reasons = map[string]string{}
	var infos []fwk.NodeInfo
	for _, n := range s.nodes {
		if status := s.runs.RunFilterPlugins(ctx, cs, pod, n); !status.IsSuccess() {
			reasons[n.Node().Name] = status.Message()
		} else {
			nodes, infos = append(nodes, n), append(infos, n)
		}
	}
	if len(nodes) == 0 {
		return nil, reasons
	}
	if status := s.runs.RunPreScorePlugins(ctx, cs, pod, infos); !status.IsSuccess() {
		t.Fatal(status)
	}
	scores, status := s.runs.RunScorePlugins(ctx, cs, pod, infos)
	if !status.IsSuccess() {
		t.Fatal(status)
	}
	total := map[string]int64{}
	for _, score := range scores {
		total[score.Name] = score.TotalScore
	}
	slices.SortStableFunc(nodes, func(a, b *framework.NodeInfo) int {
		return int(total[b.Node().Name] - total[a.Node().Name])
	})
	return nodes, reasons
}

// checkEveryFailure fails the test unless the VMs of every host can be
// restarted on the others, whatever it takes to find out.
func (s *scheduling) checkEveryFailure(t *testing.T, requests map[string]numa.Request) {
	t.Helper()
	for _, dead := range s.nodes {
		var vms []numa.Request
		for _, info := range dead.GetPods() {
			vms = append(vms, requests[info.GetPod().Name])
		}
		slices.SortFunc(vms, func(a, b numa.Request) int { return int(b.Granted.Memory>>20 - a.Granted.Memory>>20) })
		var others []*numa.Usage
		for _, n := range s.nodes {
			if u, ok := s.fleet.Usage(framework.NewCycleState(), n); ok && n != dead {
				others = append(others, u)
			}
		}
		if !restartableByBrute(vms, others) {
			t.Errorf("the %d VMs of %s cannot all be restarted elsewhere", len(vms), dead.Node().Name)
		}
	}
}

func TestVMsArePlacedUntilTheLastRoomIsKeptForRestarts(t *testing.T) {
	mixed := func(i int) []func(*v1alpha1.VirtualMachine) {
		return []func(*v1alpha1.VirtualMachine){sized([]int32{1, 2, 3}[i%3], []int64{2, 6, 5, 1}[i%4])}
	}
	for name, test := range map[string]struct {
		hosts, cells int
		vm           func(i int) []func(*v1alpha1.VirtualMachine)
		// least is how many VMs must be placed before the first is refused.
		least int
	}{
		// Of 4 hosts 3 can be filled, or all by three quarters.
		"VMs of one size":         {4, 0, func(int) []func(*v1alpha1.VirtualMachine) { return []func(*v1alpha1.VirtualMachine){sized(2, 7)} }, 12},
		"VMs of many sizes":       {4, 0, mixed, 10},
		"two hosts: one is spare": {2, 0, func(int) []func(*v1alpha1.VirtualMachine) { return nil }, 8},
		"VMs in single cells": {4, 2, func(int) []func(*v1alpha1.VirtualMachine) {
			return []func(*v1alpha1.VirtualMachine){sized(2, 6), singleCell}
		}, 12},
		"VMs with CPUs to themselves": {3, 2, func(int) []func(*v1alpha1.VirtualMachine) {
			return []func(*v1alpha1.VirtualMachine){sized(3, 2), singleCell, dedicated}
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			var nodes []*framework.NodeInfo
			for i := range test.hosts {
				n := node(fmt.Sprintf("host-%d", i))
				describe(f, n, test.cells)
				nodes = append(nodes, n)
			}
			s := newScheduling(t, f, `{"mode":"Filter"}`, nodes...)
			requests := map[string]numa.Request{}
			placed := 0
			for ; ; placed++ {
				pod := newTestVM(fmt.Sprintf("vm-%d", placed), test.vm(placed)...)
				hosts, reasons := s.feasible(t.Context(), t, pod)
				if len(hosts) == 0 {
					if !strings.Contains(fmt.Sprint(reasons), "restart") {
						t.Errorf("refused for other reasons: %v", reasons)
					}
					break
				}
				requests[pod.Name], _ = podless.NUMARequestOf(pod)
				// Any host that is allowed must do: not always the first.
				bind(t, f, hosts[placed%len(hosts)], pod)
				s.checkEveryFailure(t, requests)
			}
			if placed < test.least {
				t.Errorf("%d VMs placed, want at least %d", placed, test.least)
			}
			// What is kept free is there for VMs that have lost their host.
			if hosts, reasons := s.feasible(t.Context(), t, newTestVM("again", append(test.vm(placed), evictedOnce)...)); len(hosts) == 0 {
				t.Errorf("a VM that lost its host is refused: %v", reasons)
			}
		})
	}
}
