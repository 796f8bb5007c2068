package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// outcome says a decision in a word or two.
func outcome(d Decision) string {
	var words []string
	for _, s := range d.Steps {
		words = append(words, string(s))
	}
	if d.Report != nil {
		words = append(words, strings.TrimSpace(string(d.Report.State)+" "+d.Report.Reason))
	}
	if len(words) == 0 {
		return "waits"
	}
	return strings.Join(words, ", ")
}

// What becomes of a VM that shall run and has no guest, with and without what an
// executor remembers.
func TestWhatTheRunPolicyMakesOfAnEnd(t *testing.T) {
	const (
		starts  = "Define, Start"
		notes   = "NoteEnd" // to be started again with back-off
		off     = "Ended GuestShutDown"
		failed  = "Ended GuestFailed"
		ran     = "Ended RanOnce"
		none    = "no domain"
		expects = "expected to run"
	)
	for _, row := range []struct {
		// said is what status.host has, reason libvirt's word, memory what this
		// process remembers.
		said, reason, memory string
		// want is by policy: Always, OnFailure, Manual, Once.
		want [4]string
	}{
		// Nothing was reported in this binding.
		{"", none, "", [4]string{starts, starts, starts, starts}},
		{"", libvirt.ReasonNotStarted, "", [4]string{starts, starts, starts, starts}},
		{"", libvirt.ReasonFailed, "", [4]string{starts, starts, starts, starts}},
		{"", libvirt.ReasonShutDown, "", [4]string{notes, off, off, off}},
		{"", libvirt.ReasonCrashed, "", [4]string{notes, notes, failed, failed}},
		{"", libvirt.ReasonShutDown, expects, [4]string{notes, off, off, off}},
		{"", libvirt.ReasonCrashed, expects, [4]string{notes, notes, failed, failed}},

		// It ran when it was last looked at.
		{"Running", libvirt.ReasonShutDown, "", [4]string{notes, off, off, off}},
		{"Running", libvirt.ReasonShutDown, expects, [4]string{notes, off, off, off}},
		{"Running", libvirt.ReasonCrashed, "", [4]string{notes, notes, failed, failed}},
		{"Running", libvirt.ReasonCrashed, expects, [4]string{notes, notes, failed, failed}},
		{"Running", libvirt.ReasonDestroyed, "", [4]string{notes, notes, failed, failed}},
		{"Running", libvirt.ReasonLostBeside, "", [4]string{notes, notes, failed, failed}},
		{"Running", libvirt.ReasonNotStarted, "", [4]string{notes, notes, failed, failed}}, // the host lost power
		{"Running", libvirt.ReasonNotStarted, expects, [4]string{notes, notes, failed, failed}},
		{"Running", libvirt.ReasonFailed, "", [4]string{notes, notes, failed, failed}},
		{"Running", none, "", [4]string{starts, starts, failed, failed}},
		{"Paused", libvirt.ReasonShutDown, "", [4]string{notes, off, off, off}},
		{"Paused DiskFull", libvirt.ReasonCrashed, "", [4]string{notes, notes, failed, failed}},

		// Its memory was saved, and is there no more.
		{"Suspended", libvirt.ReasonSaved, "", [4]string{notes, notes, failed, failed}},
		{"Suspended", libvirt.ReasonNotStarted, "", [4]string{notes, notes, failed, failed}},
		{"Suspended", libvirt.ReasonShutDown, "", [4]string{notes, off, off, off}}, // it went on and ended
		{"Suspended", none, "", [4]string{starts, starts, failed, failed}},

		// It was ended on purpose.
		{"Stopping", libvirt.ReasonShutDown, "", [4]string{starts, starts, starts, ran}},
		{"Stopping", libvirt.ReasonDestroyed, "", [4]string{starts, starts, starts, ran}},
		{"Stopped", libvirt.ReasonShutDown, "", [4]string{starts, starts, starts, ran}},
		{"Stopped", libvirt.ReasonNotStarted, "", [4]string{starts, starts, starts, ran}},
		{"Stopped", none, "", [4]string{starts, starts, starts, ran}},

		// It was about to be started when the executor ended.
		{"Stopped Starting", libvirt.ReasonNotStarted, "", [4]string{starts, starts, failed, failed}},
		{"Stopped Starting", libvirt.ReasonFailed, "", [4]string{starts, starts, starts, starts}},
		{"Stopped Starting", libvirt.ReasonShutDown, "", [4]string{notes, off, off, off}},
		{"Stopped Starting", libvirt.ReasonCrashed, "", [4]string{notes, notes, failed, failed}},
		{"Stopped Starting", libvirt.ReasonNotStarted, "starting", [4]string{starts, starts, starts, starts}},

		// Its end was reported already: what libvirt says now may be another thing.
		{"Ended GuestShutDown", libvirt.ReasonNotStarted, "", [4]string{starts, off, off, off}},
		{"Ended GuestShutDown", none, "", [4]string{starts, off, off, off}},
		{"Ended GuestFailed", libvirt.ReasonNotStarted, "", [4]string{starts, starts, failed, failed}},
		{"Ended GuestFailed", libvirt.ReasonShutDown, "", [4]string{starts, starts, failed, failed}},
		{"Ended RanOnce", libvirt.ReasonShutDown, "", [4]string{starts, starts, starts, ran}},

		// It is tried again with back-off, which the executor may have forgotten.
		{"Failed GuestEnded", libvirt.ReasonCrashed, "", [4]string{starts, starts, failed, failed}},
		{"Failed GuestEnded", libvirt.ReasonShutDown, "", [4]string{starts, off, off, off}},
		{"Failed GuestEnded", libvirt.ReasonCrashed, "ended", [4]string{"Failed GuestEnded", "Failed GuestEnded", failed, failed}},
		{"Failed GuestEnded", libvirt.ReasonCrashed, "ended, due", [4]string{starts, starts, failed, failed}},
		{"Failed StartFailed", libvirt.ReasonFailed, "", [4]string{starts, starts, starts, starts}},
		{"Failed StartFailed", libvirt.ReasonFailed, "failed to start", [4]string{"Failed StartFailed", "Failed StartFailed", "Failed StartFailed", "Failed StartFailed"}},
		{"Failed RestoreFailed", libvirt.ReasonSaved, "", [4]string{starts, starts, starts, ran}}, // somebody removed what was saved
	} {
		for i, policy := range vmtest.Policies {
			t.Run(fmt.Sprintf("%s/said %q, %s, %s", policy, row.said, row.reason, row.memory), func(t *testing.T) {
				vm := vmtest.Placed(vmtest.PolicyIs(policy))
				if row.said != "" {
					vmtest.SaidOnce(row.said)(vm)
				}
				var d *ownership.Observed
				if row.reason != none {
					d = vmtest.Domain(libvirt.StateShutOff, vmtest.Because(row.reason))
				}
				memory := map[string]Memory{
					"":                {},
					expects:           {Expected: true},
					"starting":        {Starting: true},
					"ended":           {Failures: 1, RetryAt: vmtest.Now.Add(time.Second), Failure: Failure{Reason: v1alpha1.ReasonGuestEnded}},
					"ended, due":      {Failures: 1, RetryAt: vmtest.Now, Failure: Failure{Reason: v1alpha1.ReasonGuestEnded}},
					"failed to start": {Failures: 1, RetryAt: vmtest.Now.Add(time.Second), Failure: Failure{Reason: v1alpha1.ReasonStartFailed}},
				}[row.memory]
				got := Decide(Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: vm, Domain: d, Memory: memory, Now: vmtest.Now})
				if diff := cmp.Diff(row.want[i], outcome(got)); diff != "" {
					t.Error(diff)
				}
				if r := got.Report; r != nil && r.State == v1alpha1.HostEnded && r.Message == "" {
					t.Error("it does not say why")
				}
			})
		}
	}
}

func TestPlanFollowsThePowerState(t *testing.T) {
	const (
		running, pausedState, suspended, stopped = v1alpha1.PowerRunning, v1alpha1.PowerPaused, v1alpha1.PowerSuspended, v1alpha1.PowerStopped
	)
	in := func(state libvirt.State, reason string, change ...func(*ownership.Observed)) *ownership.Observed {
		return vmtest.Domain(state, append(change, vmtest.Because(reason))...)
	}
	halted := func(reason string) *ownership.Observed { return in(libvirt.StatePaused, reason) }
	tried := func(step Step, reason string) Memory {
		return Memory{Attempt: Attempt{Step: step, Failures: 1, RetryAt: vmtest.Now.Add(time.Second), Failure: Failure{Reason: reason, Message: "why"}}}
	}
	since := func(ago time.Duration) Memory { return Memory{SaveSince: vmtest.Now.Add(-ago), SaveAsked: true} }
	aborted := since(time.Hour)
	aborted.AbortedAt = vmtest.Now.Add(-time.Second)
	runs, ends := in(libvirt.StateRunning, ""), in(libvirt.StateShutOff, libvirt.ReasonShutDown)
	saved := in(libvirt.StateShutOff, libvirt.ReasonNotStarted, vmtest.SavedMemory)
	for name, c := range map[string]struct {
		shall  v1alpha1.PowerState
		said   string
		domain *ownership.Observed
		memory Memory
		change func(*v1alpha1.VirtualMachine)
		want   string
	}{
		"a running guest is paused":                      {pausedState, "Running", runs, Memory{}, nil, "Suspend"},
		"a guest that could not be paused waits":         {pausedState, "Running", runs, tried(StepSuspend, "PauseFailed"), nil, "Running PauseFailed"},
		"a failed resume does not delay a pause":         {pausedState, "Running", runs, tried(StepResume, "ResumeFailed"), nil, "Suspend"},
		"a paused guest is reported":                     {pausedState, "Running", halted(libvirt.ReasonPausedByUser), Memory{}, nil, "Paused"},
		"a full disk is told of a paused guest too":      {pausedState, "Paused", halted(libvirt.ReasonDiskError), Memory{}, nil, "Paused DiskFull"},
		"a VM without a guest is not started to pause":   {pausedState, "", nil, Memory{}, nil, "Stopped"},
		"a guest that ended is not started to pause":     {pausedState, "Running", ends, Memory{Expected: true}, nil, "Stopped"},
		"a guest that libvirt starts is paused later":    {pausedState, "", halted(libvirt.ReasonStarting), Memory{}, nil, "Paused Starting"},
		"a suspended guest is not started to pause":      {pausedState, "Suspended", saved, Memory{}, nil, "Suspended"},
		"a guest that crashed is not paused":             {pausedState, "Running", in(libvirt.StateCrashed, ""), Memory{}, nil, "Failed GuestEnded"},
		"a guest whose memory is being saved goes on":    {pausedState, "Paused Saving", halted(libvirt.ReasonSaving), since(time.Second), nil, "AbortSave"},
		"an administrator's save is left alone to pause": {pausedState, "Running", halted(libvirt.ReasonSaving), Memory{SaveSince: vmtest.Now}, nil, "Paused"},
		"a guest that runs once and ended has ended":     {pausedState, "Running", ends, Memory{}, vmtest.PolicyIs(v1alpha1.RunOnce), "Ended GuestShutDown"},

		"a running guest is suspended":                     {suspended, "Running", runs, Memory{}, nil, "Save"},
		"a paused guest is suspended":                      {suspended, "Paused", halted(libvirt.ReasonPausedByUser), Memory{}, nil, "Save"},
		"a guest whose disk is full is suspended":          {suspended, "Paused DiskFull", halted(libvirt.ReasonDiskError), Memory{}, nil, "Save"},
		"a guest of which a snapshot is taken waits":       {suspended, "Running", halted(libvirt.ReasonBetween), Memory{}, nil, "waits"},
		"a guest that libvirt starts waits":                {suspended, "Running", halted(libvirt.ReasonStarting), Memory{}, nil, "waits"},
		"a save is waited for":                             {suspended, "Running", halted(libvirt.ReasonSaving), since(time.Minute), nil, "Paused Saving"},
		"a save that has not halted the guest is too":      {suspended, "Running", runs, since(time.Minute), nil, "Running Saving"},
		"a save is given up after its deadline":            {suspended, "Paused Saving", halted(libvirt.ReasonSaving), since(time.Hour), nil, "AbortSave"},
		"so is one that another process asked for":         {suspended, "Paused Saving", halted(libvirt.ReasonSaving), Memory{SaveSince: vmtest.Now.Add(-time.Hour)}, nil, "AbortSave"},
		"a save is not given up at every look":             {suspended, "Paused Saving", halted(libvirt.ReasonSaving), aborted, nil, "Paused Saving"},
		"a save that failed waits, the guest runs":         {suspended, "Running", runs, tried(StepSave, "SuspendFailed"), nil, "Running SuspendFailed"},
		"a save that failed waits, the guest stands still": {suspended, "Paused", halted(libvirt.ReasonPausedByUser), tried(StepSave, "SuspendFailed"), nil, "Paused SuspendFailed"},
		"a suspended VM is reported":                       {suspended, "Running", saved, Memory{}, nil, "Suspended"},
		"a suspended VM never gives its place back":        {suspended, "Suspended", saved, Memory{}, vmtest.Releases, "Suspended"},
		"a VM without a guest is not started to suspend":   {suspended, "", nil, Memory{}, nil, "Stopped"},
		"a guest that crashed is not suspended":            {suspended, "Running", halted(libvirt.ReasonCrashed), Memory{}, nil, "Failed GuestEnded"},

		"a suspended guest goes on, with the definition of then": {running, "Suspended", saved, Memory{}, nil, "Start"},
		"a suspended guest goes on whatever its run policy":      {running, "Suspended", saved, Memory{}, vmtest.PolicyIs(v1alpha1.RunOnce), "Start"},
		"a guest that cannot go on waits": {
			running, "Suspended", saved,
			Memory{Failures: 1, RetryAt: vmtest.Now.Add(time.Second), Failure: Failure{Reason: v1alpha1.ReasonRestoreFailed}}, nil, "Failed RestoreFailed",
		},
		"a guest that somebody paused goes on":                 {running, "Running", halted(libvirt.ReasonPausedByUser), Memory{}, nil, "Resume"},
		"a guest that libvirt could not let go on does":        {running, "Running", halted(libvirt.ReasonResumeFailed), Memory{}, nil, "Resume"},
		"a guest that could not be resumed waits":              {running, "Paused", halted(libvirt.ReasonPausedByUser), tried(StepResume, "ResumeFailed"), nil, "Paused ResumeFailed"},
		"a guest whose disk is full is tried":                  {running, "Running", halted(libvirt.ReasonDiskError), Memory{}, nil, "Resume, Paused DiskFull"},
		"a guest whose disk is full is tried again later":      {running, "Paused DiskFull", halted(libvirt.ReasonDiskError), tried(StepResume, "DiskFull"), nil, "Paused DiskFull"},
		"a guest let go on with a full disk is not trusted":    {running, "Paused DiskFull", runs, Memory{DiskRetryAt: vmtest.Now.Add(-time.Second)}, nil, "waits"},
		"a guest that still runs has room again":               {running, "Paused DiskFull", runs, Memory{DiskRetryAt: vmtest.Now.Add(-Settle)}, nil, "Running"},
		"a guest that crashed and is kept does not go on":      {running, "Running", halted(libvirt.ReasonCrashed), Memory{}, nil, "Failed GuestEnded"},
		"a guest of which somebody dumps the memory does not":  {running, "Running", halted(libvirt.ReasonDumping), Memory{}, nil, "Paused"},
		"a guest that somebody saves does not":                 {running, "Running", halted(libvirt.ReasonSaving), Memory{SaveSince: vmtest.Now.Add(-time.Hour)}, nil, "Paused"},
		"a guest that libvirt starts is left to it":            {running, "", halted(libvirt.ReasonStarting), Memory{}, nil, "Paused Starting"},
		"a guest whose start failed unseen is started again":   {running, "Paused Starting", in(libvirt.StateShutOff, libvirt.ReasonFailed), Memory{}, vmtest.PolicyIs(v1alpha1.RunOnce), "Define, Start"},
		"a guest whose start nobody saw end is not run twice":  {running, "Paused Starting", in(libvirt.StateShutOff, libvirt.ReasonNotStarted), Memory{}, vmtest.PolicyIs(v1alpha1.RunOnce), "Ended GuestFailed"},
		"a guest that ran for less than a look has run":        {running, "Paused Starting", ends, Memory{}, vmtest.PolicyIs(v1alpha1.RunOnce), "Ended GuestShutDown"},
		"a guest that suspended itself does not":               {running, "Running", halted(libvirt.ReasonSleeps), Memory{}, nil, "Paused"},
		"a guest that is being suspended goes on":              {running, "Paused Saving", halted(libvirt.ReasonSaving), since(time.Second), nil, "AbortSave"},
		"a guest asked to shut down is waited for":             {running, "Stopping", runs, Memory{StopAskedAt: vmtest.Now.Add(-time.Second)}, nil, "Stopping"},
		"a guest that did not hear it runs":                    {running, "Stopping", runs, Memory{StopAskedAt: vmtest.Now.Add(-time.Hour)}, nil, "Running"},
		"a suspended guest's memory is thrown away to stop":    {stopped, "Suspended", saved, Memory{}, nil, "DiscardSave"},
		"a paused guest is asked to shut down, and goes on":    {stopped, "Paused", halted(libvirt.ReasonPausedByUser), Memory{}, nil, "AskShutdown, Resume, Stopping"},
		"a guest that is being saved is asked to shut down":    {stopped, "Paused Saving", halted(libvirt.ReasonSaving), since(time.Second), nil, "AbortSave, AskShutdown, Stopping"},
		"a guest that is being saved for good is switched off": {stopped, "Stopping", halted(libvirt.ReasonSaving), Memory{SaveSince: vmtest.Now, StopAskedAt: vmtest.Now.Add(-time.Hour)}, nil, "Destroy"},

		"a VM that gives its place back is asked to shut down": {stopped, "Running", runs, Memory{}, vmtest.Releases, "AskShutdown, Stopping"},
		"its domain is removed":                                {stopped, "Stopping", ends, Memory{}, vmtest.Releases, "Undefine"},
		"and with it its saved memory":                         {stopped, "Suspended", saved, Memory{}, vmtest.Releases, "Undefine"},
		"then its place is given back":                         {stopped, "Stopping", nil, Memory{}, vmtest.Releases, "Gone Released"},
		"a stopped VM gives its place back when told to":       {stopped, "Stopped", ends, Memory{}, vmtest.Releases, "Undefine"},
		"a VM that has given it back stays gone":               {running, "Gone Released", nil, Memory{}, vmtest.Releases, "waits"},
		"a VM that ended by itself keeps its place":            {running, "Running", ends, Memory{}, func(vm *v1alpha1.VirtualMachine) { vmtest.Releases(vm); vmtest.PolicyIs(v1alpha1.RunManual)(vm) }, "Ended GuestShutDown"},

		"an evicted suspended VM loses its saved memory": {suspended, "Suspended", saved, Memory{}, vmtest.Evicted, "Undefine"},
		"a deleted suspended VM loses its saved memory":  {suspended, "Suspended", saved, Memory{}, vmtest.Deleted, "Undefine"},
	} {
		t.Run(name, func(t *testing.T) {
			vm := vmtest.Placed(vmtest.PolicyIs(v1alpha1.RunAlways), vmtest.Shall(c.shall))
			if c.said != "" {
				vmtest.SaidOnce(c.said)(vm)
			}
			if c.change != nil {
				c.change(vm)
			}
			got := Decide(Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: vm, Domain: c.domain, Memory: c.memory, Now: vmtest.Now})
			if diff := cmp.Diff(c.want, outcome(got)); diff != "" {
				t.Error(diff)
			}
			if len(got.Steps) == 0 && got.Report == nil && got.RequeueAfter == 0 && c.said != "Gone Released" {
				t.Error("it decides nothing and does not look again")
			}
		})
	}
}

func TestALargeGuestHasLongerToBeSaved(t *testing.T) {
	vm := vmtest.Placed()
	for memory, want := range map[int64]time.Duration{256 << 20: 2*time.Minute + 4*time.Second, 512 << 30: 2*time.Minute + 8192*time.Second} {
		vm.Status.Placement.Granted.Memory = memory
		if got := SaveTime(vm); got != want {
			t.Errorf("%d bytes: %s, want %s", memory, got, want)
		}
	}
}

// libvirt 9.0 does nothing more with a guest that it was about to start when it was
// killed, and nothing that it can be told frees it.
func TestWhatFreesAGuestWhoseStartLibvirtHasForgottenIsSaid(t *testing.T) {
	r := Paused(&ownership.Observed{Domain: libvirt.Domain{Name: "demo:web", State: libvirt.StatePaused, Reason: libvirt.ReasonStarting}})
	if !strings.Contains(r.Message, "remove /run/libvirt/qemu/demo:web.xml") {
		t.Errorf("it says %q", r.Message)
	}
}
