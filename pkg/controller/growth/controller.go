package growth

import (
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/transition"
)

// New returns the controller that keeps grants true. It reads from cached and
// writes with status. What is due depends on what the VM asks for.
func New(cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *transition.Controller {
	return transition.New(transition.Rule{Name: "vm-growth", Workers: 1, Due: concerns, OnSpec: true, Next: next}, cached, status, clk)
}
