package complete

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestChoicesLeaveOutWhatIsGiven(t *testing.T) {
	vms := make([]v1alpha1.VirtualMachine, 3)
	for i, name := range []string{"a", "b", "c"} {
		vms[i].Name, vms[i].Status.Phase = name, v1alpha1.PhasePending
	}
	vms[2].Status.Phase, vms[2].Status.Placement = v1alpha1.PhaseRunning, &v1alpha1.Placement{NodeName: "host-1"}
	if diff := cmp.Diff([]string{"b\tPending", "c\tRunning on host-1"}, choices(vms, []string{"a"})); diff != "" {
		t.Error(diff)
	}
}
