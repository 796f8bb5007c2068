package describe

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestWhetherAGuestServes(t *testing.T) {
	for want, conditions := range map[string][]metav1.Condition{
		"":               nil,
		"yes, since 60m": {{Type: "Serving", Status: "True", Reason: "ProbeSucceeded", LastTransitionTime: ago(time.Hour)}},
		"no, and Services do not lead to it: ProbeFailed: HTTP probe failed with statuscode: 503: since 60m": {{Type: "Serving", Status: "False", Reason: "ProbeFailed", Message: "HTTP probe failed with statuscode: 503", LastTransitionTime: ago(time.Hour)}},
	} {
		vm := &v1alpha1.VirtualMachine{}
		vm.Status.Conditions = conditions
		if got := (&printer{now: now}).serves(vm); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCardsAreTold(t *testing.T) {
	got := cardLine(v1alpha1.InterfaceStatus{Name: "net0", NetworkName: "pods", MACAddress: "52:54:00:00:00:01", Addresses: []string{"10.244.0.5", "10.9.9.9"}, Assigned: []string{"10.244.0.5"}})
	if want := "net0 52:54:00:00:00:01 on pods 10.244.0.5 (given) 10.9.9.9"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
