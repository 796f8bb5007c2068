package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// eventWrites counts the requests to write events about a VM that reached the
// API server, refused ones included.
func eventWrites(t *testing.T, ns, name string) int {
	t.Helper()
	n := 0
	for _, e := range writesIn(t, ns) {
		if e.ObjectRef.Resource == "events" && strings.HasPrefix(e.ObjectRef.Name, name+".") {
			n++
		}
	}
	return n
}

// message is the VM's Scheduled condition's.
func message(t *testing.T, ns, name string) string {
	t.Helper()
	vm := waitVM(t, ns, name, unbound)
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
	if c == nil {
		t.Fatalf("VM %s/%s has no Scheduled condition", ns, name)
	}
	return c.Message
}

// VMs that wait are tried whenever a host fills or empties. What is written of
// it is bounded all the same, and true when it is written.
func TestWaitingCostsFewWrites(t *testing.T) {
	const busy = 40 * time.Second
	s := startScheduler(t, schedulerOptions{configure: func(config map[string]any) {
		config["podInitialBackoffSeconds"], config["podMaxBackoffSeconds"] = 1, 1
	}})
	ns := namespace(t, nil)
	hosts(t, ns, 3, mid)
	for i := range 3 {
		// Two of 5 vCPUs do not share a host of 8.
		name := fmt.Sprintf("stays-%d", i)
		create(t, newVM(ns, name, 5, 1))
		waitVM(t, ns, name, bound)
	}
	create(t, newVM(ns, "never", 12, 1))
	create(t, newVM(ns, "waits", 4, 8))
	waitVM(t, ns, "never", waiting("Unschedulable", "no host that it may use could hold it even when empty. 3 hosts: need 12 vCPUs, the largest host has 8 ("))
	waitVM(t, ns, "waits", waiting("Unschedulable", "3 hosts: need 4 vCPUs, largest free is 3"))
	waitVM(t, ns, "waits", waiting("Unschedulable", ". Evicting VMs of lower priority would not make room"))

	begin := time.Now()
	var before *v1alpha1.VirtualMachine
	for n := 0; time.Since(begin) < busy; n++ {
		// Each second one takes so much memory that this is short too while the one
		// before it leaves.
		vm := newVM(ns, fmt.Sprintf("passes-%d", n), int32(1+n%3), int64(1+n%2*25))
		create(t, vm)
		waitVM(t, ns, vm.Name, bound)
		if before != nil {
			remove(before)
			waitGone(t, ns, before.Name)
		}
		before = vm
		time.Sleep(200 * time.Millisecond)
	}
	for name, bounds := range map[string]struct{ least, most int }{
		// Nothing has changed for the one, and for the other each time.
		"never": {1, 1}, "waits": {2, 8},
	} {
		tries := strings.Count(string(s.read()), `"Attempting to schedule pod" pod="`+ns+`/vm:`+name+`.0"`)
		writes, events := statusWrites(t, ns, name), eventWrites(t, ns, name)
		t.Logf("%s: %d tries in %s, %d writes of its status, %d of events", name, tries, time.Since(begin).Round(time.Second), writes, events)
		if tries < 10 {
			t.Errorf("%s: was tried %d times, which shows nothing", name, tries)
		}
		if writes < bounds.least || writes > bounds.most {
			t.Errorf("%s: %d writes of its status, want %d to %d", name, writes, bounds.least, bounds.most)
		}
		if events < 1 || events > writes {
			t.Errorf("%s: %d writes of events, %d of its status", name, events, writes)
		}
		said := message(t, ns, name)
		found := false
		list, err := suite.clientset.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			found = found || e.Reason == "FailedScheduling" && e.Regarding.Name == name && e.Note == said
		}
		if !found {
			t.Errorf("%s: no event says %q", name, said)
		}
	}
}
