package virtctl

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// lost has vm-scheduler say that the VM's host is silent.
func (w *world) lost(name string) {
	w.t.Helper()
	w.status(name, func(vm *v1alpha1.VirtualMachine) {
		meta.SetStatusCondition(&vm.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonHostUnreachable, Message: "host-1 is silent: see whether it is up",
		})
	})
}

// found takes it back.
func (w *world) found(name string) {
	w.t.Helper()
	w.status(name, func(vm *v1alpha1.VirtualMachine) {
		meta.RemoveStatusCondition(&vm.Status.Conditions, v1alpha1.ConditionHostReachable)
	})
}

const silent = "its host is away: HostUnreachable: host-1 is silent: see whether it is up"

func TestVerbsSayThatTheHostIsAway(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.vm("db", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.lost("web")
	told := "virtualmachine/web: " + silent + "\n"

	w.virtctl("wait", "web", "--for=running", "--timeout=1s").fails(t, failure.Late, silent)
	w.virtctl("wait", "web", "--for=condition=HostReachable=False").prints(t, "virtualmachine/web has condition HostReachable=False\n")
	for _, verb := range []string{"restart", "reset"} {
		if r := w.virtctl(verb, "web", "db", "--wait=false"); r.err != nil || r.errOut != told || strings.Count(r.out, "created") != 2 {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	if r := w.virtctl("screenshot", "web", "--timeout=1s"); r.code != failure.Late || !strings.HasPrefix(r.errOut, told) {
		t.Errorf("screenshot: %+v", r)
	}
	if r := w.virtctl("start", "web"); r.err != nil || r.errOut != told || r.out != "virtualmachine/web is asked to run already\n" {
		t.Errorf("start: %+v", r)
	}
	r := w.virtctl("stop", "web", "--wait", "--timeout=1s")
	r.fails(t, failure.Late, silent)
	if r.errOut != told {
		t.Errorf("stop: %+v", r)
	}
	if r := w.virtctl("top", "web"); r.code != failure.General || !strings.Contains(r.err.Error(), `virtualmachine "web" cannot be measured: `+silent) || !strings.Contains(r.out, "web    host-1   -") {
		t.Errorf("top: %+v", r)
	}
	r = w.virtctl("describe", "web")
	for _, want := range []string{"Phase:          Running, as its host last said\n", silent, "host-1, which is away (said ", "Running (before it was away)"} {
		if r.err != nil || !strings.Contains(r.out, want) {
			t.Errorf("%v, lacks %q:\n%s", r.err, want, r.out)
		}
	}

	// Its host is back, and it is off by then.
	w.soon(func() bool { return true }, func() {
		w.says("web", v1alpha1.HostStopped)
		w.found("web")
	})
	w.virtctl("wait", "web", "--for=stopped", "--timeout=60s").prints(t, "virtualmachine/web is stopped\n")
}

func TestAVMThatRanOnceIsNotStarted(t *testing.T) {
	w := newWorld(t)
	w.vm("job", v1alpha1.PowerStopped, v1alpha1.HostStopped, policy(v1alpha1.RunOnce))
	w.virtctl("start", "job").prints(t, "virtualmachine/job is asked to run\n")
	w.status("job", func(vm *v1alpha1.VirtualMachine) {
		now := metav1.Now()
		vm.Status.Host.StartedAt = &now
	})
	w.virtctl("stop", "job").prints(t, "virtualmachine/job is asked to shut down\n")
	w.virtctl("start", "job", "--wait").fails(t, failure.Denied, "spec.runPolicy Once", "create another one, or change its runPolicy")
	if vm := w.get("job"); vm.Spec.PowerState != v1alpha1.PowerStopped {
		t.Errorf("it was asked to be %s", vm.Spec.PowerState)
	}
}

func TestWhoMayNotReadOperationsIsToldWhy(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	reader, err := w.reader("virtctl-reader", "virtualmachines")
	if err != nil {
		t.Fatal(err)
	}
	r := w.virtctlAs(reader, "", "describe", "web")
	if r.err != nil || !strings.Contains(r.out, "Operations under way\n  not shown: operations hold screens and hashes of passwords") {
		t.Errorf("%+v", r)
	}
}
