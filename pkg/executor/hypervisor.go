package executor

import (
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// maxHypervisorBytes keeps a Hypervisor's status small: every scheduler
	// holds all of them.
	maxHypervisorBytes = 16 << 10
	// maxQuarantined is the bound in the API's schema.
	maxQuarantined = 64
)

// wantHypervisor sets what the host is like, but for its pools,
// interfaces and networks. Without an account (libvirt has
// not been reached yet) the description stays as it was.
func wantHypervisor(status *v1alpha1.HypervisorStatus, a *account, connected bool, versions v1alpha1.Versions, generation int64, now time.Time) {
	at := metav1.NewTime(now.Truncate(time.Second))
	if a != nil {
		kept := *status
		*status = *a.status.DeepCopy()
		status.Conditions, status.Pools = kept.Conditions, kept.Pools
		status.Interfaces, status.Networks = kept.Interfaces, kept.Networks
		status.CNINetworks, status.CNIPlugins = kept.CNINetworks, kept.CNIPlugins
		status.Versions.Executor, status.Versions.Kernel = versions.Executor, versions.Kernel
		wantPartitioned(&status.Conditions, a, generation, at)
	}
	ready := metav1.Condition{
		Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLibvirtConnected,
		Message: "the executor reaches libvirt", ObservedGeneration: generation, LastTransitionTime: at,
	}
	if !connected {
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonLibvirtUnavailable
		ready.Message = "libvirt cannot be reached; guests run on: see whether libvirtd runs on the host"
	}
	meta.SetStatusCondition(&status.Conditions, ready)
	shrink(status)
}

// shrink leaves out what is wanted least until the status is small enough, and
// nothing that is counted with: what is said of all kinds of guests but the
// preferred one, those kinds, its CPU features, its machines, its CPU models,
// what devices are, the distances.
func shrink(status *v1alpha1.HypervisorStatus) {
	preferred := min(1, len(status.DomainTypes))
	for _, drop := range []func(){
		func() {},
		func() {
			for i, t := range status.DomainTypes[preferred:] {
				status.DomainTypes[preferred+i] = v1alpha1.DomainType{Type: t.Type, Arch: t.Arch}
			}
		},
		func() { status.DomainTypes = status.DomainTypes[:preferred] },
		func() {
			for i := range status.DomainTypes {
				status.DomainTypes[i].CPUFeatures = nil
			}
		},
		func() {
			for i := range status.DomainTypes {
				status.DomainTypes[i].Machines = nil
			}
		},
		func() {
			for i := range status.DomainTypes {
				status.DomainTypes[i].CPUModels = nil
			}
		},
		func() {
			for i := range status.Devices {
				d := &status.Devices[i]
				d.Vendor, d.Product, d.PhysicalFunction = "", "", ""
			}
		},
		func() {
			for i := range status.Cells {
				status.Cells[i].Distances = nil
			}
		},
	} {
		drop()
		if data, err := json.Marshal(status); err == nil && len(data) <= maxHypervisorBytes {
			return
		}
	}
}
