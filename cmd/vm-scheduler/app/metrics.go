package app

import (
	"context"
	"fmt"

	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/metrics/survey"
	"domus.dev/domus/pkg/metrics/vms"
	"domus.dev/domus/pkg/plugins/fleet"
)

// serveMetrics has kube-scheduler's page tell of VMs and hosts while this replica
// leads: m starts what is added to it then.
func serveMetrics(m manager.Manager, informer vms.Informer, sched *scheduler.Scheduler, hosts *fleet.Fleet) error {
	all := vms.New(informer, listVMs(m.GetCache()), clock.RealClock{})
	if err := m.Add(all); err != nil {
		return fmt.Errorf("adding metrics of VirtualMachines: %w", err)
	}
	metrics.Ask(all)
	survey.Forget(hosts)
	metrics.Ask(survey.New(survey.Options{Cache: sched.Cache, Fleet: hosts.Reader(), Leads: all.Leads, Clock: clock.RealClock{}}))
	return nil
}

// listVMs lists what a cache has, without copies.
func listVMs(cached client.Reader) vms.Lister {
	return func() ([]*v1alpha1.VirtualMachine, error) {
		list := &v1alpha1.VirtualMachineList{}
		if err := cached.List(context.Background(), list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing VirtualMachines for metrics: %w", err)
		}
		out := make([]*v1alpha1.VirtualMachine, len(list.Items))
		for i := range list.Items {
			out[i] = &list.Items[i]
		}
		return out, nil
	}
}
