package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// createAll creates VMs at once, of 4 CPUs and 4 GiB each. Every other one has
// CPUs and hugepages of one cell to itself.
func createAll(t *testing.T, ns, prefix string, n int, change ...func(*v1alpha1.VirtualMachine)) {
	t.Helper()
	var creating sync.WaitGroup
	for i := range n {
		vm := newVM(ns, fmt.Sprintf("%s-%d", prefix, i), 4, 4, change...)
		if i%2 == 0 {
			for _, ask := range []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell), dedicated, hugepages(v1alpha1.PageSize1Gi)} {
				ask(vm)
			}
		}
		creating.Go(func() {
			if err := suite.client.Create(t.Context(), vm); err != nil {
				t.Error(err)
			}
		})
	}
	creating.Wait()
}

// sixFit is a host on which six of those VMs fit, in any mix.
var sixFit = shape{cells: 2, cpus: 12, threads: 2, memory: 32 * gib, pages1Gi: 12}

// Nothing keeps two schedulers from giving one host's CPUs to two VMs: the
// hosts do. One of the two VMs is refused, and goes elsewhere.
func TestTwoSchedulersAtOnce(t *testing.T) {
	ns := emptied(t)
	// A host is left out for minutes after it refused a VM, so there are some more
	// than are needed.
	names := described(t, ns, 13, sixFit)
	k := keep(t, names...)
	for i := range 2 {
		cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
		if err != nil {
			t.Fatal(err)
		}
		// Each goes on for a while before the other sees what it has chosen.
		api := newFaultyAPI(t, cfg)
		api.interceptStatus(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return forward()
		})
		startScheduler(t, schedulerOptions{api: api, noWebhook: i > 0})
	}
	packed := func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "vm-packing" }
	// By chance the two may place VMs one after the other, each time.
	const rounds = 6
	for round := 1; ; round++ {
		createAll(t, ns, fmt.Sprintf("packed-%d", round), 30, packed)
		createAll(t, ns, fmt.Sprintf("spread-%d", round), 30)
		all := waitRunning(t, ns, 60)
		fitTogether(t, names, all)
		if len(k.refusals()) > 0 {
			return
		}
		if round == rounds {
			t.Fatal("no host refused anything: the two did not compete")
		}
		for i := range all {
			remove(&all[i])
		}
		k.waitEmpty()
	}
}

// The leader stands still in the middle of its bindings, as a frozen machine
// does, and goes on when another leads.
func TestDeposedLeaderBindsNothingTwice(t *testing.T) {
	cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	if err != nil {
		t.Fatal(err)
	}
	ns := emptied(t)
	names := described(t, ns, 4, sixFit)
	k := keep(t, names...)

	api := newFaultyAPI(t, cfg)
	first := startScheduler(t, schedulerOptions{api: api, leaderElect: true})
	createAll(t, ns, "before", 4)
	waitRunning(t, ns, 4)

	// Its bindings have left it, and are on their way while the world goes on.
	var mu sync.Mutex
	var left, refused, stored int
	thaw := make(chan struct{})
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if !strings.Contains(r.URL.Path, "/"+ns+"/") {
			return forward()
		}
		mu.Lock()
		left++
		mu.Unlock()
		<-thaw
		// What is on its way arrives, whether or not the sender still waits.
		resp, err := api.target.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		mu.Lock()
		defer mu.Unlock()
		if err == nil && resp.StatusCode == http.StatusOK {
			stored++
		} else {
			refused++
		}
		return resp, err
	})
	counts := func(what string, are func() bool) {
		t.Helper()
		for deadline := time.Now().Add(eventually); ; time.Sleep(20 * time.Millisecond) {
			mu.Lock()
			ok := are()
			mu.Unlock()
			if ok {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bindings left, %d were refused, %d stored", what, left, refused, stored)
			}
		}
	}
	createAll(t, ns, "while", 12)
	counts("bindings are on their way", func() bool { return left >= 4 })
	first.signal(syscall.SIGSTOP)
	startScheduler(t, schedulerOptions{leaderElect: true, noWebhook: true})
	waitRunning(t, ns, 16)

	first.signal(syscall.SIGCONT)
	close(thaw)
	if code := first.waitEnd(); code == 0 {
		t.Error("the deposed leader ended as if all were well")
	}
	counts("all of them came too late", func() bool { return refused == left && stored == 0 })
	vms := waitRunning(t, ns, 16)
	fitTogether(t, names, vms)
	for i := range vms {
		if vms[i].Status.Epoch != 0 {
			t.Errorf("VM %s was bound more than once: %+v", vms[i].Name, vms[i].Status)
		}
	}
	if all := k.refusals(); len(all) > 0 {
		t.Errorf("hosts refused: %v", all)
	}
}
