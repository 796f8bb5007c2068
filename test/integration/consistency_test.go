package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// waitConsistent waits until a Hypervisor's condition Consistent says this.
func waitConsistent(t *testing.T, name string, status metav1.ConditionStatus, reason, text string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		c := meta.FindStatusCondition(hypervisor(t, name).Status.Conditions, v1alpha1.HypervisorConsistent)
		if c != nil && c.Status == status && c.Reason == reason && strings.Contains(c.Message, text) {
			return
		}
		last = fmt.Sprintf("%+v", c)
	}
	t.Fatalf("Hypervisor %s: Consistent is %s, want %s %s with %q", name, last, status, reason, text)
}

func TestOfTwoReportsTheSmallerCounts(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	s := shape{cells: 2, cpus: 4, memory: 16 * gib}
	names := described(t, ns, 2, s)
	right := s.status()
	smaller := s
	smaller.cpus = 2
	// One host's Node reports less than its Hypervisor, the other's more.
	less := capacity.FromHost(right.Allocatable)
	less.CPU = 4
	offer(t, names[0], less)
	shrunk := smaller.status()
	report(t, names[1], &shrunk)

	create(t, newVM(ns, "vm", 5, 1))
	waitVM(t, ns, "vm", waiting("Unschedulable", "2 hosts: need 5 vCPUs, the largest host has 4 ("+names[0]+")"))
	waitConsistent(t, names[0], metav1.ConditionFalse, v1alpha1.ReasonReportsDiffer, "domus.dev/cpu is 8 and 4 on the Node")
	waitConsistent(t, names[1], metav1.ConditionFalse, v1alpha1.ReasonReportsDiffer, "domus.dev/cpu is 4 and 8 on the Node")
	stays(t, ns, "vm", unbound)

	offer(t, names[0], capacity.FromHost(right.Allocatable))
	waitVM(t, ns, "vm", boundTo(names[0]))
	create(t, newVM(ns, "second", 5, 1))
	waitVM(t, ns, "second", waiting("Unschedulable", "1 host: need 5 vCPUs, largest free is 3; 1 host: need 5 vCPUs, the largest host has 4 ("+names[1]+")"))
	report(t, names[1], &right)
	waitVM(t, ns, "second", boundTo(names[1]))
	for _, name := range names {
		waitConsistent(t, name, metav1.ConditionTrue, v1alpha1.ReasonReportsAgree, "")
	}
}
