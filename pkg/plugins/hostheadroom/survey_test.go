package hostheadroom

import (
	"testing"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

func TestSurvey(t *testing.T) {
	f := newFleet(t)
	a, b := node("a"), node("b")
	describe(f, a, 0)
	describe(f, b, 0)
	s := NewSurvey()
	look := func() [2]int {
		vms, hosts := s.Look([]fwk.NodeInfo{a, b}, func(n fwk.NodeInfo) (*numa.Usage, bool) { return f.Usage(nil, n) })
		return [2]int{vms, hosts}
	}
	if got := look(); got != [2]int{} {
		t.Errorf("of empty hosts %v VMs and hosts are unprotected", got)
	}
	bind(t, f, a, newTestVM("one", sized(5, 8)))
	bind(t, f, b, newTestVM("two", sized(3, 8)))
	if got := look(); got != [2]int{} {
		t.Errorf("of VMs that fit beside each other %v are unprotected", got)
	}
	// 5 and 4 of 8 CPUs: neither host has room for what the other has.
	bind(t, f, b, newTestVM("three", sized(1, 8)))
	if got := look(); got != [2]int{2, 2} {
		t.Errorf("%v VMs and hosts are unprotected, want the largest of each host", got)
	}
}
