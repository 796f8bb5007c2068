package executor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func TestPlanOperation(t *testing.T) {
	done := func(message string) *Outcome { return &Outcome{Message: message} }
	start := Decision{Steps: []Step{StepDefine, StepStart}, Again: true}
	ask := Decision{
		Steps: []Step{StepAskShutdown}, RequeueAfter: askAgain,
		Report: &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"},
	}
	startedForIt := func(d *Observed) { d.Ownership.Operation = "op-uid" }
	startedForAnother := func(d *Observed) { d.Ownership.Operation = "another" }
	later := Memory{RetryAt: testNow.Add(time.Minute), Failure: Failure{Reason: v1alpha1.ReasonStartFailed, Message: "no pages"}}
	for name, c := range map[string]struct {
		kind   v1alpha1.OperationType
		vm     *v1alpha1.VirtualMachine
		domain *Observed
		memory Memory
		want   Decision
	}{
		"a restart asks the guest to shut down":             {"Restart", placed(said(v1alpha1.HostRunning)), domain(libvirt.StateRunning), Memory{}, ask},
		"one that an earlier restart started too":           {"Restart", placed(said(v1alpha1.HostRunning)), domain(libvirt.StateRunning, startedForAnother), Memory{}, ask},
		"a restart starts a guest that is off":              {"Restart", placed(said(v1alpha1.HostStopping)), domain(libvirt.StateShutOff), Memory{}, start},
		"a restart starts a guest that ended":               {"Restart", placed(said(v1alpha1.HostRunning)), domain(libvirt.StateShutOff), Memory{Expected: true}, start},
		"a restart starts what is not there":                {"Restart", placed(), nil, Memory{}, start},
		"a restart of what crashed switches it off":         {"Restart", placed(), domain(libvirt.StateCrashed), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"a guest that it started and that ended is started": {"Restart", placed(), domain(libvirt.StateShutOff, startedForIt), Memory{}, start},
		"a start that failed is tried again in a while": {"Restart", placed(), domain(libvirt.StateShutOff), later, Decision{
			Report: &Report{State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonStartFailed, Message: "no pages"}, RequeueAfter: time.Minute,
		}},
		"a restart is over when its guest runs": {"Restart", placed(), domain(libvirt.StateRunning, startedForIt), Memory{}, Decision{
			Report: &Report{State: v1alpha1.HostRunning}, Outcome: done("the guest was started with the spec as it is now"),
		}},
		"a restart of a VM that is deleted changes nothing": {"Restart", placed(deleted, said(v1alpha1.HostRunning)), domain(libvirt.StateRunning), Memory{}, Decision{
			Steps: ask.Steps, RequeueAfter: askAgain,
			Report: &Report{State: v1alpha1.HostStopping, Reason: v1alpha1.ReasonDeleting, Message: ask.Report.Message},
		}},
		"a restart of a VM that shall stop changes nothing": {"Restart", placed(switched), domain(libvirt.StateShutOff), Memory{}, Decision{Report: &Report{State: v1alpha1.HostStopped}}},

		"a plug is pulled":                    {"ForceStop", placed(), domain(libvirt.StateRunning), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"of a VM that is deleted too":         {"ForceStop", placed(deleted), domain(libvirt.StateRunning), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"it is over before anything else":     {"ForceStop", placed(said(v1alpha1.HostRunning)), domain(libvirt.StateShutOff), Memory{Expected: true}, Decision{Outcome: done("the guest is switched off"), Again: true}},
		"a domain of another VM is not":       {"ForceStop", placed(unplaced), domain(libvirt.StateRunning, ofAnotherCluster), Memory{}, Decision{Quarantine: "it belongs to a VirtualMachine of another cluster"}},
		"a VM on another host is left to it":  {"ForceStop", placed(moved, epoch(4)), nil, Memory{}, Decision{}},
		"what is done beside changes nothing": {"Reset", placed(), domain(libvirt.StateRunning), Memory{}, Decision{Report: &Report{State: v1alpha1.HostRunning}}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Situation{
				Node: testNode, ClusterID: testCluster, VM: c.vm, Domain: c.domain, Memory: c.memory, Now: testNow,
				Operation: &Request{UID: "op-uid", Type: c.kind},
			}
			if diff := cmp.Diff(c.want, Plan(in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
