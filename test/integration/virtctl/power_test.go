package virtctl

import (
	"slices"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestPowerVerbsWaitForTheirState(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.obeys()
	for _, step := range []struct {
		verb, says string
		power      v1alpha1.PowerState
	}{
		{"start", "runs", v1alpha1.PowerRunning},
		{"pause", "is paused", v1alpha1.PowerPaused},
		{"suspend", "is suspended", v1alpha1.PowerSuspended},
		{"resume", "runs", v1alpha1.PowerRunning},
		{"stop", "is stopped", v1alpha1.PowerStopped},
		{"start", "runs", v1alpha1.PowerRunning},
	} {
		w.virtctl(step.verb, "web", "--wait", "--timeout=60s").prints(t, "virtualmachine/web "+step.says+"\n")
		vm := w.get("web")
		if vm.Spec.PowerState != step.power || vm.Spec.Resources.CPU != 2 {
			t.Errorf("%s: spec is %+v", step.verb, vm.Spec)
		}
	}
	if ops := w.operations(); len(ops) != 0 {
		t.Errorf("operations where a power state says it all: %v", ops)
	}
}

func TestPowerVerbsWithoutWaiting(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.virtctl("stop", "web").prints(t, "virtualmachine/web is asked to shut down\n")
	w.virtctl("stop", "web").prints(t, "virtualmachine/web is asked to be stopped already\n")
	w.virtctl("resume", "web").fails(t, failure.Denied, "neither paused nor suspended", "`virtctl start web`")
	w.says("web", v1alpha1.HostStopped)
	w.virtctl("pause", "web").fails(t, failure.Denied, "no running guest to pause, it is Stopped", "virtctl start web --wait")
	w.virtctl("start", "web").prints(t, "virtualmachine/web is asked to run\n")
}

func TestAnEndedGuestIsStartedByAnOperation(t *testing.T) {
	w := newWorld(t)
	w.vm("job", v1alpha1.PowerRunning, v1alpha1.HostEnded, policy(v1alpha1.RunOnFailure))
	w.vm("once", v1alpha1.PowerRunning, v1alpha1.HostEnded, policy(v1alpha1.RunOnce))
	w.virtctl("start", "once").fails(t, failure.Denied, "spec.runPolicy Once", "create another one")
	w.virtctl("restart", "once").fails(t, failure.Denied, "spec.runPolicy Once")
	if ops := w.operations(); len(ops) != 0 {
		t.Errorf("operations of what was refused: %v", ops)
	}
	w.answers(func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		w.says(op.Spec.VirtualMachineName, v1alpha1.HostRunning)
		return v1alpha1.VirtualMachineOperationStatus{}
	})
	w.virtctl("start", "job", "--wait").prints(t, "virtualmachine/job runs\n")
	ops := w.operations()
	if len(ops) != 1 || ops[0].Spec.Type != v1alpha1.OperationRestart || ops[0].Spec.VirtualMachineName != "job" || !strings.HasPrefix(ops[0].Name, "job-restart-") {
		t.Errorf("operations are %+v", ops)
	}
}

func TestStopByForceStopsFirstAndPullsThePlug(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	var seen v1alpha1.PowerState
	w.answers(func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		seen = w.get("web").Spec.PowerState
		w.says("web", v1alpha1.HostStopped)
		return v1alpha1.VirtualMachineOperationStatus{}
	})
	w.virtctl("stop", "web", "--force", "--wait").prints(t, "virtualmachine/web is switched off\nvirtualmachine/web is stopped\n")
	ops := w.operations()
	if len(ops) != 1 || ops[0].Spec.Type != v1alpha1.OperationForceStop || seen != v1alpha1.PowerStopped {
		t.Errorf("asked to be %s when %+v", seen, ops)
	}
	w.virtctl("stop", "web", "--force", "--wait").prints(t, "virtualmachine/web is stopped\n")
	if ops := w.operations(); len(ops) != 1 {
		t.Errorf("the plug of no guest was pulled: %v", ops)
	}
}

func TestSeveralVMs(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.vm(name, v1alpha1.PowerStopped, v1alpha1.HostStopped)
	}
	r := w.virtctl("start", "a", "none", "b")
	r.fails(t, failure.Missing, `there is no virtualmachine "none" in namespace "`+w.namespace+`": see `+"`virtctl get -A`")
	if want := "virtualmachine/a is asked to run\nvirtualmachine/b is asked to run\n"; r.out != want {
		t.Errorf("printed %q, want %q", r.out, want)
	}
	w.virtctl("start", "-l", "app in (c,d)").prints(t, "virtualmachine/c is asked to run\n")
	w.obeys()
	r = w.virtctl("stop", "--all", "--wait", "--timeout=60s")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	slices.Sort(lines)
	if want := []string{"virtualmachine/a is stopped", "virtualmachine/b is stopped", "virtualmachine/c is stopped"}; r.err != nil || !slices.Equal(lines, want) {
		t.Errorf("%q, %v", lines, r.err)
	}
	r = w.virtctl("start", "-l", "app=none")
	if r.err != nil || r.out != "" || r.errOut != "No virtualmachines found in namespace "+w.namespace+".\n" {
		t.Errorf("none chosen: %+v", r)
	}
}

func TestWhoMayNotIsRefused(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	nobody, err := kubeconfigOf("virtctl-nobody")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"start", "restart", "describe", "get", "screenshot"} {
		w.virtctlAs(nobody, "", verb, "web").fails(t, failure.Denied, `cannot get resource "virtualmachines"`)
	}
	w.virtctlAs(nobody, "", "top").fails(t, failure.Denied, `cannot list resource "virtualmachines"`)
	w.virtctlAs(nobody, "", "wait", "-l", "a", "--for=deleted").fails(t, failure.Denied)
}
