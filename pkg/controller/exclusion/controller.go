// Package exclusion ends the exclusion of hosts that refused a VM once its time
// is over, so that the VM may be placed there again.
package exclusion

import (
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/transition"
)

// New returns the controller that ends exclusions. It reads from cached and writes
// with status.
func New(cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *transition.Controller {
	return transition.New(transition.Rule{Name: "vm-exclusion", Workers: 1, Due: waits, Next: func(s *v1alpha1.VirtualMachineStatus, _ *v1alpha1.VirtualMachine, now time.Time) time.Duration {
		left, again := remaining(s.ExcludedHosts, now)
		s.ExcludedHosts = left
		return again
	}}, cached, status, clk)
}

// waits says whether the VM looks for a host with some excluded. While it is
// bound its exclusions matter to nobody, and writing them would be a waste.
func waits(vm *v1alpha1.VirtualMachine) bool {
	return vm.Status.Placement == nil && len(vm.Status.ExcludedHosts) > 0
}

// remaining returns the exclusions that still hold, and how long until the next
// of them ends.
func remaining(hosts []v1alpha1.HostExclusion, now time.Time) ([]v1alpha1.HostExclusion, time.Duration) {
	var left []v1alpha1.HostExclusion
	var next time.Duration
	for _, h := range hosts {
		if wait := h.Until.Sub(now); wait > 0 {
			left = append(left, h)
			if next == 0 || wait < next {
				next = wait
			}
		}
	}
	return left, next
}
