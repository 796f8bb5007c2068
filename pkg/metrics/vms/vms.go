// Package vms tells metrics of VirtualMachines as the API server has them, and
// times their way to a running guest.
package vms

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/podless"
)

// Informer is one of VirtualMachines.
type Informer interface {
	AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
	RemoveEventHandler(cache.ResourceEventHandlerRegistration) error
}

// Lister lists the VMs of the informer's cache. They are not changed.
type Lister func() ([]*v1alpha1.VirtualMachine, error)

// VMs is a prometheus.Collector, and a manager.Runnable of the leader: it tells
// nothing before Start.
type VMs struct {
	informer Informer
	list     Lister
	clock    clock.PassiveClock
	emit     *metrics.Emitter
	leads    atomic.Bool
	waits    *waits
}

// Metrics lists what VMs tells when it is asked. Times are observed beside.
func Metrics() []*metrics.Metric {
	return []*metrics.Metric{
		metrics.VMInfo, metrics.VMPhase, metrics.VMCreated, metrics.VMPendingSince, metrics.VMRequestedCPUs, metrics.VMRequestedMemory,
	}
}

// New returns VMs of an informer.
func New(informer Informer, list Lister, clk clock.PassiveClock) *VMs {
	return &VMs{informer: informer, list: list, clock: clk, emit: metrics.NewEmitter(Metrics()...), waits: newWaits()}
}

// Start follows the VMs until ctx ends.
func (v *VMs) Start(ctx context.Context) error {
	registration, err := v.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
				v.waits.see(nil, vm, initial, v.clock.Now())
			}
		},
		UpdateFunc: func(was, obj any) {
			before, _ := was.(*v1alpha1.VirtualMachine)
			if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
				v.waits.see(before, vm, false, v.clock.Now())
			}
		},
		DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
				v.waits.forget(vm.UID)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("following VirtualMachines for metrics: %w", err)
	}
	v.leads.Store(true)
	<-ctx.Done()
	v.leads.Store(false)
	// It fails for an informer that has ended too, of which nothing is left.
	_ = v.informer.RemoveEventHandler(registration)
	return nil
}

// Leads says whether Start has been called, and its context not ended.
func (v *VMs) Leads() bool { return v.leads.Load() }

// Describe implements prometheus.Collector.
func (v *VMs) Describe(to chan<- *prometheus.Desc) { v.emit.Describe(to) }

// Collect implements prometheus.Collector.
func (v *VMs) Collect(to chan<- prometheus.Metric) {
	if !v.Leads() {
		return
	}
	all, err := v.list()
	if err != nil {
		to <- prometheus.NewInvalidMetric(metrics.VMInfo.Desc(), err)
		return
	}
	for _, vm := range all {
		v.tell(to, vm)
	}
}

func (v *VMs) tell(to chan<- prometheus.Metric, vm *v1alpha1.VirtualMachine) {
	node, class := "", ""
	granted := podless.Desired(vm)
	if p := vm.Status.Placement; p != nil {
		node, granted = p.NodeName, p.Granted
	}
	if vm.Spec.Class != nil {
		class = vm.Spec.Class.Name
	}
	v.emit.Send(to, metrics.VMInfo, 1, vm.Namespace, vm.Name, string(vm.UID), node, profileOf(vm), class)
	if vm.Status.Phase != "" {
		v.emit.Send(to, metrics.VMPhase, 1, vm.Namespace, vm.Name, string(vm.Status.Phase))
	}
	v.emit.Send(to, metrics.VMCreated, seconds(vm.CreationTimestamp.Time), vm.Namespace, vm.Name)
	v.emit.Send(to, metrics.VMRequestedCPUs, float64(granted.CPU), vm.Namespace, vm.Name)
	v.emit.Send(to, metrics.VMRequestedMemory, float64(granted.Memory), vm.Namespace, vm.Name)
	if since := v.waits.since(vm); !since.IsZero() {
		v.emit.Send(to, metrics.VMPendingSince, seconds(since), vm.Namespace, vm.Name)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func profileOf(vm *v1alpha1.VirtualMachine) string {
	if vm.Spec.SchedulerName == "" {
		return v1alpha1.DefaultSchedulerName
	}
	return vm.Spec.SchedulerName
}
