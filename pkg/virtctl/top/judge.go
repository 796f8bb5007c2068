package top

import (
	"fmt"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
)

// shown is how many names a note gives.
const shown = 3

// judge returns what is an error of those that were not measured, and notes on the
// others, a line for all of one reason. Of VMs that the user named each is an
// error; where nobody named them it is none that some have nothing to measure.
func judge(outcomes []operation.Outcome, named bool) (errs []error, notes []string) {
	if named {
		return operation.Errors(outcomes), nil
	}
	var reasons []string
	of := map[string][]string{}
	for _, o := range outcomes {
		reason := ""
		switch {
		case o.Err == nil:
			continue
		case away.Is(o.VM) || o.Operation != nil && operation.Unreachable(o.Operation):
			reason = "the host is away: see `virtctl describe`"
		case o.Operation != nil && expected(o.Operation.Status):
			reason = output.Safe(o.Operation.Status.Message)
		default:
			errs = append(errs, o.Err)
			continue
		}
		if of[reason] == nil {
			reasons = append(reasons, reason)
		}
		of[reason] = append(of[reason], o.VM.Name)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		names := of[reason]
		slices.Sort(names)
		text := strings.Join(names[:min(len(names), shown)], ", ")
		if more := len(names) - shown; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		notes = append(notes, fmt.Sprintf("Not measured: %s: %s", text, reason))
	}
	return errs, notes
}

// expected says whether it is in the VM's or its host's nature that it cannot be
// measured now.
func expected(s v1alpha1.VirtualMachineOperationStatus) bool {
	return s.Phase == v1alpha1.OperationFailed && (s.Reason == v1alpha1.ReasonOperationRefused || s.Reason == v1alpha1.ReasonWrongState)
}
