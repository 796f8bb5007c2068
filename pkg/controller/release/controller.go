package release

import (
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/transition"
)

// New returns the controller that releases VMs whose hosts gave them up. It
// reads from cached and writes with status.
func New(cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *transition.Controller {
	return transition.New(transition.Rule{Name: "vm-release", Workers: 4, Due: due, Next: func(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) time.Duration {
		if s.Placement != nil && s.Host != nil {
			next(s, vm, now)
		}
		return 0
	}}, cached, status, clk)
}
