package executor

import (
	"context"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/vmtest"
)

func TestTenancy(t *testing.T) {
	type look struct {
		machine string
		// renewed and at are seconds; the other machine's clock is a day off.
		renewed, at int
		want        bool
	}
	for name, test := range map[string]struct {
		machine string
		looks   []look
	}{
		"nobody was this host":              {"a", []look{{"", 0, 0, true}}},
		"this machine was":                  {"a", []look{{"a", 0, 0, true}}},
		"this machine is not known":         {"", []look{{"b", 0, 0, true}}},
		"another was, and is silent":        {"a", []look{{"b", 0, 0, false}, {"b", 0, 39, false}, {"b", 0, 40, true}}},
		"another is":                        {"a", []look{{"b", 0, 0, false}, {"b", 10, 10, false}, {"b", 20, 60, false}}},
		"another was seen, and is silent":   {"a", []look{{"b", 0, 0, false}, {"b", 10, 10, false}, {"b", 10, 3600, false}}},
		"another's Lease is gone":           {"a", []look{{"b", 0, 0, false}, {"", 0, 20, true}}},
		"a Lease is gone of one that lives": {"a", []look{{"b", 0, 0, false}, {"b", 10, 10, false}, {"", 0, 20, false}}},
		"a third takes the other's place":   {"a", []look{{"b", 0, 0, false}, {"c", 10, 30, false}, {"c", 10, 60, false}, {"c", 10, 70, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &tenancy{machine: test.machine}
			for i, l := range test.looks {
				renewed := vmtest.Now.Add(24*time.Hour + time.Duration(l.renewed)*time.Second)
				if got := seen.mine(l.machine, renewed, vmtest.Now.Add(time.Duration(l.at)*time.Second)); got != l.want {
					t.Errorf("look %d: mine is %t", i, got)
				}
			}
		})
	}
}

// TestAnotherMachineIsTheHost plays a second machine that was given the name of one that
// lives.
func TestAnotherMachineIsTheHost(t *testing.T) {
	clk := clocktesting.NewFakeClock(vmtest.Now)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: vmtest.Node, Namespace: v1alpha1.LeaseNamespace}}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: vmtest.Now}
	first := &Agent{config: hostconfig.HostConfiguration{NodeName: vmtest.Node}, machine: "first"}
	if err := first.ownLease(lease); err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientset(lease)
	c := newClaim(vmtest.Node, "second", api, clk)
	done := make(chan bool)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go func() { done <- c.wait(ctx) }()
	step := func(d time.Duration) {
		t.Helper()
		eventually(t, "it waits to look again", clk.HasWaiters)
		clk.Step(d)
	}
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(c.waitsFor(), "whether that one lives") })
	lease.Spec.RenewTime = &metav1.MicroTime{Time: vmtest.Now.Add(leaseRenewal)}
	if _, err := api.CoordinationV1().Leases(lease.Namespace).Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	step(claimLook)
	eventually(t, "it says which machine is the host", func() bool {
		return strings.Contains(c.waitsFor(), "another machine is host "+vmtest.Node+" (system UUID first")
	})
	step(time.Hour)
	select {
	case <-done:
		t.Fatal("two machines are one host")
	case <-c.done:
		t.Fatal("two machines keep one Lease")
	case <-time.After(50 * time.Millisecond):
	}
	end()
	if <-done {
		t.Fatal("it ended, and is the host")
	}
	// Started again, when the other has ended. What waited for the clock before still does.
	clk = clocktesting.NewFakeClock(vmtest.Now)
	again := newClaim(vmtest.Node, "second", api, clk)
	go func() { done <- again.wait(t.Context()) }()
	eventually(t, "it looks whether the other lives", func() bool { return again.waitsFor() != "" })
	for range leaseDuration / claimLook {
		step(claimLook)
	}
	if !<-done || again.waitsFor() != "" {
		t.Errorf("the other is silent, and this one waits: %q", again.waitsFor())
	}
	<-again.done
}
