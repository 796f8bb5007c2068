package executor

import (
	"context"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// planned plays the executor and libvirt around plan.Decide: the steps take effect on
// the domain, the report becomes the status, and time goes on.
type planned struct {
	in   plan.Situation
	host *fakeHost
	// steps are all that were taken.
	steps []plan.Step
}

// drawn is any situation of a VM that is bound here.
func drawn(t *rapid.T) *planned {
	p := &planned{host: newFakeHost(), in: plan.Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, Now: vmtest.Now}}
	vm := vmtest.Placed(
		vmtest.Shall(rapid.SampledFrom([]v1alpha1.PowerState{v1alpha1.PowerRunning, v1alpha1.PowerStopped, v1alpha1.PowerPaused, v1alpha1.PowerSuspended}).Draw(t, "powerState")),
		vmtest.PolicyIs(rapid.SampledFrom(vmtest.Policies).Draw(t, "runPolicy")))
	vm.Spec.WhenStopped = rapid.SampledFrom([]v1alpha1.SlotPolicy{v1alpha1.SlotHold, v1alpha1.SlotRelease}).Draw(t, "whenStopped")
	if said := rapid.SampledFrom([]string{
		"", "Running", "Paused", "Paused DiskFull", "Paused Saving", "Suspended", "Stopping", "Stopped", "Stopped Starting",
		"Ended GuestShutDown", "Ended GuestFailed", "Ended RanOnce", "Failed GuestEnded", "Failed StartFailed", "Failed RestoreFailed",
	}).Draw(t, "said"); said != "" {
		vmtest.SaidOnce(said)(vm)
	}
	p.in.VM = vm
	if state := rapid.SampledFrom([]libvirt.State{"", libvirt.StateRunning, libvirt.StatePaused, libvirt.StateShutOff}).Draw(t, "state"); state != "" {
		d := vmtest.Domain(state, vmtest.Because(""))
		switch state {
		case libvirt.StatePaused:
			d.Reason = rapid.SampledFrom([]string{
				libvirt.ReasonPausedByUser, libvirt.ReasonReverted, libvirt.ReasonResumeFailed, libvirt.ReasonUnknown, libvirt.ReasonDiskError,
			}).Draw(t, "reason")
		case libvirt.StateShutOff:
			d.Reason = rapid.SampledFrom([]string{
				libvirt.ReasonNotStarted, libvirt.ReasonShutDown, libvirt.ReasonCrashed, libvirt.ReasonDestroyed, libvirt.ReasonFailed,
				libvirt.ReasonLostBeside, libvirt.ReasonSaved,
			}).Draw(t, "reason")
			d.Saved = rapid.Bool().Draw(t, "saved")
		}
		p.host.domains[vmtest.UID] = d.Domain
		p.in.Domain = d
	}
	if rapid.Bool().Draw(t, "remembers") && p.in.Domain != nil && p.in.Domain.State.Active() {
		p.in.Memory.Expected = true
	}
	return p
}

// round is one look with all that follows from it; false when it changed nothing.
func (p *planned) round(t *rapid.T) bool {
	p.in.Domain = nil
	if d, ok := p.host.domains[vmtest.UID]; ok {
		o := vmtest.Domain(d.State, vmtest.Because(d.Reason))
		o.Saved = d.Saved
		p.in.Domain = o
	}
	p.in.Memory.See(p.in.Domain, false, p.in.Now)
	decision := plan.Decide(p.in)
	for _, s := range decision.Steps {
		p.take(t, s)
	}
	changed := len(decision.Steps) > 0
	if r := decision.Report; r != nil {
		before := *p.in.VM.Status.DeepCopy()
		vm := p.in.VM.DeepCopy()
		r.Apply(&vm.Status, p.in)
		p.in.VM = vm
		changed = changed || !equality.Semantic.DeepEqual(before.Host, vm.Status.Host)
		switch r.State {
		case v1alpha1.HostRunning, v1alpha1.HostPaused:
			p.in.Memory.Expected = true
			p.in.Memory.StopAskedAt = time.Time{}
		case v1alpha1.HostStopped, v1alpha1.HostSuspended, v1alpha1.HostEnded, v1alpha1.HostGone:
			p.in.Memory = plan.Memory{}
		}
	}
	if decision.RequeueAfter > 0 {
		p.in.Now = p.in.Now.Add(decision.RequeueAfter)
		changed = true
	}
	return changed || decision.Again
}

func (p *planned) take(t *rapid.T, s plan.Step) {
	p.steps = append(p.steps, s)
	ctx, m := context.Background(), &p.in.Memory
	var err error
	switch s {
	case plan.StepDefine:
		was, there := p.host.domains[vmtest.UID]
		if !there {
			was = vmtest.Domain(libvirt.StateShutOff, vmtest.Because(libvirt.ReasonNotStarted)).Domain
		}
		if was.State.Active() || was.Saved {
			t.Errorf("a domain that is %s, saved %t, is defined anew", was.State, was.Saved)
		}
		p.host.domains[vmtest.UID] = was
	case plan.StepStart:
		if p.host.domains[vmtest.UID].State.Active() {
			t.Error("a guest that runs is started")
		}
		m.Expected, m.StartedAt, m.StopAskedAt = true, p.in.Now, time.Time{}
		err = p.host.Start(ctx, vmtest.UID)
	case plan.StepAskShutdown:
		m.StopAskedAt, m.LastAskedAt, m.Expected = p.in.Now, p.in.Now, false
		err = p.host.Shutdown(ctx, vmtest.UID)
	case plan.StepSuspend:
		err = p.host.Suspend(ctx, vmtest.UID)
	case plan.StepResume:
		if d := p.host.domains[vmtest.UID]; d.State.Active() { // one that has shut down is left as it is
			m.DiskRetryAt = p.in.Now
			err = p.host.Resume(ctx, vmtest.UID)
		}
	case plan.StepSave:
		err = p.host.Save(ctx, vmtest.UID)
	case plan.StepAbortSave:
		err = p.host.AbortJob(ctx, vmtest.UID)
	case plan.StepDiscardSave:
		err = p.host.DiscardSave(ctx, vmtest.UID)
	case plan.StepDestroy:
		m.Expected = false
		err = p.host.Destroy(ctx, vmtest.UID)
	case plan.StepUndefine:
		err = p.host.Undefine(ctx, vmtest.UID)
		p.in.Memory = plan.Memory{}
	case plan.StepNoteEnd:
		m.Note(plan.Failure{Reason: v1alpha1.ReasonGuestEnded}, p.in.Now)
	default:
		t.Errorf("step %s", s)
	}
	if err != nil {
		t.Errorf("step %s: %v", s, err)
	}
}

// settle goes on until nothing changes any more.
func (p *planned) settle(t *rapid.T) {
	quiet := 0
	for range 60 {
		if p.round(t) {
			quiet = 0
		} else if quiet++; quiet == 2 {
			return
		}
	}
	t.Fatalf("it does not settle: %v, %+v", p.steps, p.in)
}

// From any situation the state that was asked for is reached, or it is said why
// not, without a needless stop or start.
func TestPlanReachesThePowerStateFromAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawn(t)
		vm, was, there := p.in.VM, p.host.domains[vmtest.UID], p.in.Domain != nil
		guest, ranBefore := there && was.State.Active(), vm.Status.Host != nil && vm.Status.Host.StartedAt != nil
		p.settle(t)
		now, host := p.host.domains[vmtest.UID], p.in.VM.Status.Host
		if host == nil {
			t.Fatal("nothing is reported")
		}
		count := func(step plan.Step) (n int) {
			for _, s := range p.steps {
				if s == step {
					n++
				}
			}
			return n
		}
		switch vm.Spec.PowerState {
		case v1alpha1.PowerRunning:
			switch host.State {
			case v1alpha1.HostRunning:
				if now.State != libvirt.StateRunning {
					t.Errorf("said to run, it is %s", now.State)
				}
			case v1alpha1.HostEnded:
				if guest || was.Saved || vm.Spec.RunPolicy == v1alpha1.RunAlways {
					t.Errorf("it is left off: %+v", host)
				}
				if host.Message == "" {
					t.Error("it does not say why it stays off")
				}
			default:
				t.Errorf("it ends as %+v", host)
			}
			// Asked to shut down or destroyed it is never, and started only where
			// there was no guest.
			if count(plan.StepAskShutdown)+count(plan.StepDestroy)+count(plan.StepSave)+count(plan.StepDiscardSave)+count(plan.StepUndefine) > 0 {
				t.Errorf("a VM that shall run: %v", p.steps)
			}
			want := 1
			if guest || host.State == v1alpha1.HostEnded {
				want = 0
			}
			if got := count(plan.StepStart); got != want {
				t.Errorf("started %d times, want %d", got, want)
			}
			if vm.Spec.RunPolicy == v1alpha1.RunOnce && ranBefore && !was.Saved && count(plan.StepStart) > 0 {
				t.Error("what runs once was started a second time")
			}
		case v1alpha1.PowerPaused:
			if guest && (now.State != libvirt.StatePaused || host.State != v1alpha1.HostPaused) {
				t.Errorf("it is %s and said to be %s", now.State, host.State)
			}
			if was.Saved && (!now.Saved || host.State != v1alpha1.HostSuspended) {
				t.Errorf("saved %t and said to be %s", now.Saved, host.State)
			}
			if i := slices.IndexFunc(p.steps, func(s plan.Step) bool { return s != plan.StepSuspend }); i >= 0 {
				t.Errorf("a VM that shall be paused: %v", p.steps)
			}
		case v1alpha1.PowerSuspended:
			if (guest || was.Saved) && (!now.Saved || host.State != v1alpha1.HostSuspended) {
				t.Errorf("saved %t and said to be %s", now.Saved, host.State)
			}
			if i := slices.IndexFunc(p.steps, func(s plan.Step) bool { return s != plan.StepSave }); i >= 0 {
				t.Errorf("a VM that shall be suspended: %v", p.steps)
			}
		case v1alpha1.PowerStopped:
			_, left := p.host.domains[vmtest.UID]
			release := vm.Spec.WhenStopped == v1alpha1.SlotRelease
			switch {
			case release && (left || host.State != v1alpha1.HostGone || host.Reason != v1alpha1.ReasonReleased):
				t.Errorf("its domain is left (%t), %+v", left, host)
			case !release && (left != there || now.State.Active() && left || now.Saved || host.State != v1alpha1.HostStopped):
				t.Errorf("its domain is left (%t) as %+v, %+v", left, now, host)
			}
			if count(plan.StepStart) > 0 || guest && count(plan.StepDestroy) > 0 {
				t.Errorf("a VM that shall be stopped: %v", p.steps)
			}
		}
		// Looked at by an executor that remembers nothing, all stays as it is.
		p.in.Memory, p.steps = plan.Memory{}, nil
		before := *host
		p.settle(t)
		if len(p.steps) > 0 || p.in.VM.Status.Host.State != before.State || p.in.VM.Status.Host.Reason != before.Reason || p.in.VM.Status.Host.Message != before.Message {
			t.Errorf("another executor does %v and says %+v, after %+v", p.steps, p.in.VM.Status.Host, before)
		}
	})
}
