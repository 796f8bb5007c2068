package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity"
)

func waitGone(t *testing.T, ns, name string) {
	t.Helper()
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, &v1alpha1.VirtualMachine{}); apierrors.IsNotFound(err) {
			return
		}
	}
	t.Fatalf("VM %s/%s is still there", ns, name)
}

// behindFaultyAPI starts a scheduler whose connection the test can break.
func behindFaultyAPI(t *testing.T) (*faultyAPI, *process) {
	t.Helper()
	cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	if err != nil {
		t.Fatal(err)
	}
	api := newFaultyAPI(t, cfg)
	return api, startScheduler(t, schedulerOptions{api: api})
}

func TestBindThatTimedOutButSucceeded(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	var lost atomic.Int32
	api.interceptStatus(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		if err != nil || resp.StatusCode != http.StatusOK || lost.Add(1) > 1 {
			return resp, err
		}
		_ = resp.Body.Close()
		return nil, errors.New("the answer is lost")
	})
	create(t, newVM(ns, "vm", 8, 1))
	vm := waitVM(t, ns, "vm", boundTo(host))
	eventOn(t, ns, "vm", "Scheduled")
	if vm.Status.Epoch != 0 || lost.Load() != 1 {
		t.Errorf("epoch %d after %d writes that were stored", vm.Status.Epoch, lost.Load())
	}
	// What it holds is counted: nothing else fits.
	create(t, newVM(ns, "second", 1, 1))
	waitVM(t, ns, "second", waiting("Unschedulable", "need 1 vCPU, largest free is 0"))
}

func TestBindConflictLeavesTheFirstPlacement(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	var tampered atomic.Bool
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/"+ns+"/") && tampered.CompareAndSwap(false, true) {
			// Another scheduler is faster, and chooses the first host.
			vm := &v1alpha1.VirtualMachine{}
			if err := suite.client.Get(r.Context(), types.NamespacedName{Namespace: ns, Name: "vm"}, vm); err != nil {
				return nil, err
			}
			if _, err := vmstatus.New(suite.client).Patch(r.Context(), vm, func(s *v1alpha1.VirtualMachineStatus) {
				s.Placement = &v1alpha1.Placement{NodeName: names[0], Granted: capacity.Desired(&vm.Spec)}
			}); err != nil {
				return nil, err
			}
		}
		return forward()
	})
	// The scheduler would choose the second host.
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[1] }))
	waitVM(t, ns, "vm", boundTo(names[0]))
	stays(t, ns, "vm", boundTo(names[0]))
}

// A label edited between the decision and its write costs the binding a second
// try, which is a patch, and no second decision.
func TestLabelEditDoesNotConflictWithBinding(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	var writes, stored atomic.Int32
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/"+ns+"/") && writes.Add(1) == 1 {
			vm := &v1alpha1.VirtualMachine{}
			if err := suite.client.Get(r.Context(), types.NamespacedName{Namespace: ns, Name: "vm"}, vm); err != nil {
				return nil, err
			}
			before := vm.DeepCopy()
			vm.Labels = map[string]string{"edited": "meanwhile"}
			if err := suite.client.Patch(r.Context(), vm, client.MergeFrom(before)); err != nil {
				return nil, err
			}
		}
		resp, err := forward()
		if err == nil && resp.StatusCode == http.StatusOK {
			stored.Add(1)
		}
		return resp, err
	})
	create(t, newVM(ns, "vm", 1, 1))
	vm := waitVM(t, ns, "vm", boundTo(host))
	eventOn(t, ns, "vm", "Scheduled")
	if tried, done := writes.Load(), stored.Load(); tried != 2 || done != 1 || vm.Labels["edited"] != "meanwhile" {
		t.Errorf("binding took %d tries and %d writes, want 2 and 1; labels %v", tried, done, vm.Labels)
	}
}

func TestSpecEditedDuringBindingIsPlacedAnew(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	var edited atomic.Bool
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/"+ns+"/") && edited.CompareAndSwap(false, true) {
			vm := &v1alpha1.VirtualMachine{}
			if err := suite.client.Get(r.Context(), types.NamespacedName{Namespace: ns, Name: "vm"}, vm); err != nil {
				return nil, err
			}
			vm.Spec.NodeSelector[corev1.LabelHostname] = names[1]
			if err := suite.client.Update(r.Context(), vm); err != nil {
				return nil, err
			}
		}
		return forward()
	})
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[0] }))
	waitVM(t, ns, "vm", boundTo(names[1]))
}

func TestSchedulerKilledMidBind(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprintf("write stored %t", stored), func(t *testing.T) {
			api, s := behindFaultyAPI(t)
			ns := namespace(t, nil)
			host := hosts(t, ns, 1, mid)[0]
			reached := make(chan struct{})
			var once atomic.Bool
			api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				if !strings.Contains(r.URL.Path, "/"+ns+"/") || !once.CompareAndSwap(false, true) {
					return forward()
				}
				if stored {
					if resp, err := forward(); err == nil {
						_ = resp.Body.Close()
					}
				}
				close(reached)
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			create(t, newVM(ns, "vm", 8, 1))
			select {
			case <-reached:
			case <-time.After(eventually):
				t.Fatal("no bind was tried")
			}
			s.kill()
			startScheduler(t, schedulerOptions{})
			waitVM(t, ns, "vm", boundTo(host))
			create(t, newVM(ns, "second", 1, 1))
			waitVM(t, ns, "second", waiting("Unschedulable", "need 1 vCPU, largest free is 0"))
		})
	}
}

func TestDeletedWhileAssumedFreesItsCapacity(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	reached, released := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/"+ns+"/") && once.CompareAndSwap(false, true) {
			close(reached)
			<-released
		}
		return forward()
	})
	vm := newVM(ns, "vm", 8, 1)
	create(t, vm)
	select {
	case <-reached:
	case <-time.After(eventually):
		t.Fatal("no bind was tried")
	}
	if err := suite.client.Delete(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	waitGone(t, ns, "vm")
	close(released)
	create(t, newVM(ns, "next", 8, 1))
	waitVM(t, ns, "next", boundTo(host))
}

func TestRecreatedUnderOneName(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	first := newVM(ns, "vm", 8, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[0] })
	create(t, first)
	waitVM(t, ns, "vm", boundTo(names[0]))
	if err := suite.client.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := newVM(ns, "vm", 8, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[1] })
	create(t, second)
	waitVM(t, ns, "vm", boundTo(names[1]))
	// The first one's capacity is free.
	create(t, newVM(ns, "other", 8, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = names[0] }))
	waitVM(t, ns, "other", boundTo(names[0]))
}

func TestLostWatchesAreMadeGood(t *testing.T) {
	api, _ := behindFaultyAPI(t)
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	first := newVM(ns, "vm", 8, 1)
	create(t, first)
	waitVM(t, ns, "vm", boundTo(host))
	for range 3 {
		if api.breakWatches() == 0 {
			t.Fatal("no watch was open")
		}
		// What happens while nobody watches: one goes, its name comes back, and
		// another appears.
		remove(first)
		waitGone(t, ns, "vm")
		first = newVM(ns, "vm", 8, 1)
		create(t, first)
		waitVM(t, ns, "vm", boundTo(host))
	}
	create(t, newVM(ns, "second", 1, 1))
	waitVM(t, ns, "second", waiting("Unschedulable", "need 1 vCPU, largest free is 0"))
	remove(first)
	waitVM(t, ns, "second", boundTo(host))
}

func TestExpiredWatchIsRelisted(t *testing.T) {
	api, s := behindFaultyAPI(t)
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	first := newVM(ns, "vm", 8, 1)
	create(t, first)
	waitVM(t, ns, "vm", boundTo(host))
	create(t, newVM(ns, "second", 8, 1))
	waitVM(t, ns, "second", waiting("Unschedulable", "need 8 vCPUs, largest free is 0"))

	// The watch ends, cannot be resumed, and what happens meanwhile is never
	// told: one goes, and another of the same name comes.
	api.expireWatches(2)
	if api.breakWatches() == 0 {
		t.Fatal("no watch was open")
	}
	remove(first)
	waitGone(t, ns, "vm")
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "none" }))
	waitVM(t, ns, "second", boundTo(host))
	if n := api.leftToExpire(); n != 0 {
		t.Errorf("%d watches were never refused: nothing was relisted\n%s", n, s.tail(2000))
	}
}

func TestRealPodOfTheSameName(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "twin"}}
	pod.Spec.SchedulerName = v1alpha1.DefaultSchedulerName
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "none"}}
	if err := suite.podWriter.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = suite.podWriter.Delete(t.Context(), pod) })
	create(t, newVM(ns, "twin", 8, 1))
	waitVM(t, ns, "twin", boundTo(host))
	live := &corev1.Pod{}
	get(t, types.NamespacedName{Namespace: ns, Name: "twin"}, live)
	if live.Spec.NodeName != "" || len(live.Status.Conditions) > 0 {
		t.Errorf("the pod that asks for our schedulerName was touched: node %q, conditions %v", live.Spec.NodeName, live.Status.Conditions)
	}
}

func TestLeaderChange(t *testing.T) {
	first := startScheduler(t, schedulerOptions{leaderElect: true})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "before", 4, 1))
	waitVM(t, ns, "before", boundTo(host))

	startScheduler(t, schedulerOptions{leaderElect: true, noWebhook: true})
	create(t, newVM(ns, "between", 2, 1))
	waitVM(t, ns, "between", boundTo(host))
	after := newVM(ns, "after", 2, 1)
	create(t, after)
	waitVM(t, ns, "after", boundTo(host))
	first.kill()

	// The new leader counts what the old one placed, and runs the controllers.
	hostSays(t, ns, "after", v1alpha1.HostRejected, v1alpha1.ReasonInvalidDomain, "nobody can")
	waitVM(t, ns, "after", waiting("InvalidDomain", "nobody can"))
}

func TestUnknownSchedulerNameIsLeftAlone(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 1, mid)
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "somebody-else" }))
	stays(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Placement != nil || len(vm.Status.Conditions) > 0 {
			return fmt.Sprintf("was touched: %+v", vm.Status)
		}
		return ""
	})
}
