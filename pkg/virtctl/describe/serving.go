package describe

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/output"
)

// serves says what the VM's probe has found out; empty where it has none, or no guest.
func (p *printer) serves(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionServing)
	if c == nil {
		return ""
	}
	since := duration.HumanDuration(p.now.Sub(c.LastTransitionTime.Time))
	if c.Status == metav1.ConditionTrue {
		return "yes, since " + since
	}
	return p.paint.Warn("no, and Services do not lead to it: " + joined(c.Reason, c.Message, "since "+since))
}

// cardLine is a card as the guest has it; addresses that its network gave it are told from
// those that were seen.
func cardLine(i v1alpha1.InterfaceStatus) string {
	out := fmt.Sprintf("%s %s on %s", i.Name, i.MACAddress, i.NetworkName)
	for _, a := range i.Addresses {
		out += " " + a
		if slices.Contains(i.Assigned, a) {
			out += " (given)"
		}
	}
	return output.Safe(strings.TrimSpace(out))
}
