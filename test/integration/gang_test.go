package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// gang makes a PodGroup of which minCount VMs are placed together or none.
func gang(t *testing.T, ns, name string, minCount int32, change ...func(*schedulingv1beta1.PodGroup)) *schedulingv1beta1.PodGroup {
	t.Helper()
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: minCount}
	for _, f := range change {
		f(pg)
	}
	create(t, pg)
	return pg
}

// member makes a VM one of the gang's.
func member(group string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: group}
	}
}

// members creates n VMs of the gang, of cpu vCPUs each, and returns their names.
func members(t *testing.T, ns, group string, n int, cpu int32, change ...func(*v1alpha1.VirtualMachine)) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%d", group, i)
		create(t, newVM(ns, name, cpu, 1, append(change, member(group))...))
		names = append(names, name)
	}
	return names
}

// all waits until is holds for every VM.
func all(t *testing.T, ns string, names []string, is func(*v1alpha1.VirtualMachine) string) {
	t.Helper()
	for _, name := range names {
		waitVM(t, ns, name, is)
	}
}

// scheduledSays waits until the PodGroup's own condition is status with text in
// its message.
func scheduledSays(t *testing.T, pg *schedulingv1beta1.PodGroup, status metav1.ConditionStatus, text string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		get(t, types.NamespacedName{Namespace: pg.Namespace, Name: pg.Name}, pg)
		c := meta.FindStatusCondition(pg.Status.Conditions, schedulingv1beta1.PodGroupInitiallyScheduled)
		if c == nil {
			last = "no condition"
			continue
		}
		if c.Status == status && strings.Contains(c.Message, text) {
			return
		}
		last = fmt.Sprintf("%s %q", c.Status, c.Message)
	}
	t.Fatalf("PodGroup %s says %s, want %s with %q", pg.Name, last, status, text)
}

func TestGangIsBoundTogetherOrNotAtAll(t *testing.T) {
	for name, makeRoom := range map[string]func(t *testing.T, ns, host string){
		"a host grows": func(t *testing.T, _, host string) { grow(t, host, capacity.Resources{CPU: 16, Memory: 32 * gib}) },
		"a VM leaves": func(t *testing.T, ns, _ string) {
			vm := &v1alpha1.VirtualMachine{}
			get(t, types.NamespacedName{Namespace: ns, Name: "other"}, vm)
			remove(vm)
		},
	} {
		t.Run(name, func(t *testing.T) {
			startScheduler(t, schedulerOptions{gangs: true})
			ns := namespace(t, nil)
			names := hosts(t, ns, 3, mid)
			create(t, newVM(ns, "other", 8, 1))
			waitVM(t, ns, "other", bound)
			pg := gang(t, ns, "gang", 3)
			vms := members(t, ns, "gang", 3, 8)

			// There is room for two.
			all(t, ns, vms[:2], waiting("Unschedulable", "minCount (3) cannot be satisfied: 2 scheduled, 0 remaining"))
			waitVM(t, ns, vms[2], waiting("Unschedulable", "none of 3 hosts can take it: 2 hosts: need 8 vCPUs, which is there but promised to other VMs; 1 host: need 8 vCPUs, largest free is 0"))
			scheduledSays(t, pg, metav1.ConditionFalse, "minCount (3) cannot be satisfied: 2 scheduled, 0 remaining")
			stays(t, ns, vms[0], unbound)
			all(t, ns, vms, unbound)
			if note := eventOn(t, ns, vms[0], "FailedScheduling"); !strings.Contains(note, "minCount (3)") {
				t.Errorf("event says %q", note)
			}

			makeRoom(t, ns, names[0])
			all(t, ns, vms, bound)
			scheduledSays(t, pg, metav1.ConditionTrue, "")
		})
	}
}

func TestGangWaitsForItsMembersAndSaysSo(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	vms := members(t, ns, "gang", 2, 1)
	all(t, ns, vms, waiting(v1alpha1.ReasonWaitingForGroup, "there is no PodGroup gang"))
	gang(t, ns, "gang", 3)
	all(t, ns, vms, waiting(v1alpha1.ReasonWaitingForGroup, "placed when 3 VirtualMachines of it shall run"))
	all(t, ns, vms, unbound)
	create(t, newVM(ns, "last", 1, 1, member("gang")))
	all(t, ns, append(vms, "last"), bound)
}

func TestGangOfTwoPrioritiesSaysSo(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	urgentClass(t, ns+"-high")
	gang(t, ns, "gang", 2)
	vms := members(t, ns, "gang", 2, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = ns + "-high" })
	all(t, ns, vms, waiting("SchedulerError", "should have the same priority as the pod group's priority"))
}

func TestGangBesideOthers(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 3, mid)
	gang(t, ns, "huge", 6)
	huge := members(t, ns, "huge", 6, 8)
	all(t, ns, huge[:3], waiting("Unschedulable", "minCount (6) cannot be satisfied"))

	// It holds nothing while it waits.
	create(t, newVM(ns, "single", 8, 1))
	waitVM(t, ns, "single", bound)
	gang(t, ns, "fits", 2)
	all(t, ns, members(t, ns, "fits", 2, 8), bound)
	all(t, ns, huge, unbound)
	stays(t, ns, huge[0], unbound)
}

func TestGangAcrossARestart(t *testing.T) {
	t.Run("while it waits", func(t *testing.T) {
		s := startScheduler(t, schedulerOptions{gangs: true})
		ns := namespace(t, nil)
		names := hosts(t, ns, 2, mid)
		gang(t, ns, "gang", 3)
		vms := members(t, ns, "gang", 3, 8)
		all(t, ns, vms, waiting("Unschedulable", ""))
		s.kill()
		startScheduler(t, schedulerOptions{gangs: true})
		stays(t, ns, vms[0], unbound)
		all(t, ns, vms, unbound)
		grow(t, names[0], capacity.Resources{CPU: 16, Memory: 32 * gib})
		all(t, ns, vms, bound)
	})
	t.Run("when some of it are bound", func(t *testing.T) {
		cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
		if err != nil {
			t.Fatal(err)
		}
		api := newFaultyAPI(t, cfg)
		s := startScheduler(t, schedulerOptions{api: api, gangs: true})
		ns := namespace(t, nil)
		hosts(t, ns, 3, mid)
		reached := make(chan struct{})
		var once atomic.Bool
		api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
			if !strings.Contains(r.URL.Path, "/"+ns+"/virtualmachines/gang-1/") {
				return forward()
			}
			if once.CompareAndSwap(false, true) {
				close(reached)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		gang(t, ns, "gang", 3)
		vms := members(t, ns, "gang", 3, 8)
		select {
		case <-reached:
		case <-time.After(eventually):
			t.Fatal("no bind was tried")
		}
		all(t, ns, []string{vms[0], vms[2]}, bound)
		s.kill()
		waitVM(t, ns, vms[1], unbound)
		// Those that are bound count: the third is placed although it is alone.
		startScheduler(t, schedulerOptions{gangs: true})
		all(t, ns, vms, bound)
	})
}

func TestGangMemberWhoseBindingFailsIsTriedAgain(t *testing.T) {
	cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	if err != nil {
		t.Fatal(err)
	}
	api := newFaultyAPI(t, cfg)
	startScheduler(t, schedulerOptions{api: api, gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 3, mid)
	var refusing atomic.Bool
	refusing.Store(true)
	var refused atomic.Int32
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if refusing.Load() && strings.Contains(r.URL.Path, "/"+ns+"/virtualmachines/gang-1/") {
			refused.Add(1)
			return refusal(r), nil
		}
		return forward()
	})
	gang(t, ns, "gang", 3)
	vms := members(t, ns, "gang", 3, 8)
	// The others stay where they are.
	all(t, ns, []string{vms[0], vms[2]}, bound)
	stays(t, ns, vms[1], unbound)
	if refused.Load() == 0 {
		t.Fatal("no binding was refused")
	}
	refusing.Store(false)
	waitVM(t, ns, vms[1], bound)
	all(t, ns, []string{vms[0], vms[2]}, func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Epoch != 0 {
			return fmt.Sprintf("is in epoch %d", vm.Status.Epoch)
		}
		return bound(vm)
	})
}

// refusal is an API server's answer to a write that it does not allow.
func refusal(r *http.Request) *http.Response {
	body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"not now"}`
	return &http.Response{
		StatusCode: http.StatusForbidden, Status: "403 Forbidden", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": []string{"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func TestGroupsAreOffUnlessTheGateIsOn(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 1, mid)
	gang(t, ns, "gang", 1)
	create(t, newVM(ns, "vm", 1, 1, member("gang")))
	waitVM(t, ns, "vm", waiting(v1alpha1.ReasonWaitingForGroup, "--feature-gates=GenericWorkload=true"))
	create(t, newVM(ns, "single", 1, 1))
	waitVM(t, ns, "single", bound)
	waitVM(t, ns, "vm", unbound)
}

func TestSchedulingGroupCannotChange(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	vm := newVM(ns, "vm", 1, 1, member("gang"))
	create(t, vm)
	for name, change := range map[string]func(*v1alpha1.VirtualMachine){
		"another group": member("other"),
		"none":          func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulingGroup = nil },
	} {
		t.Run(name, func(t *testing.T) {
			changed := vm.DeepCopy()
			change(changed)
			refusedBecause(t, "a change of spec.schedulingGroup", suite.client.Update(t.Context(), changed), "spec.schedulingGroup is immutable")
		})
	}
}
