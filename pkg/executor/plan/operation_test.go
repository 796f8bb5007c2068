package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestPlanOperation(t *testing.T) {
	done := func(message string) *Outcome { return &Outcome{Message: message} }
	start := Decision{Steps: []Step{StepDefine, StepStart}, Again: true}
	ask := Decision{
		Steps: []Step{StepAskShutdown}, RequeueAfter: AskAgain,
		Report: &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"},
	}
	startedForIt := func(d *ownership.Observed) { d.Ownership.Operation = "op-uid" }
	startedForAnother := func(d *ownership.Observed) { d.Ownership.Operation = "another" }
	later := Memory{RetryAt: vmtest.Now.Add(time.Minute), Failure: Failure{Reason: v1alpha1.ReasonStartFailed, Message: "no pages"}}
	for name, c := range map[string]struct {
		kind   v1alpha1.OperationType
		vm     *v1alpha1.VirtualMachine
		domain *ownership.Observed
		memory Memory
		want   Decision
	}{
		"a restart asks the guest to shut down":             {"Restart", vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), vmtest.Domain(libvirt.StateRunning), Memory{}, ask},
		"one that an earlier restart started too":           {"Restart", vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), vmtest.Domain(libvirt.StateRunning, startedForAnother), Memory{}, ask},
		"a restart starts a guest that is off":              {"Restart", vmtest.Placed(vmtest.Said(v1alpha1.HostStopping)), vmtest.Domain(libvirt.StateShutOff), Memory{}, start},
		"a restart starts a guest that ended":               {"Restart", vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), vmtest.Domain(libvirt.StateShutOff), Memory{Expected: true}, start},
		"a restart starts what is not there":                {"Restart", vmtest.Placed(), nil, Memory{}, start},
		"a restart of what crashed switches it off":         {"Restart", vmtest.Placed(), vmtest.Domain(libvirt.StateCrashed), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"a guest that it started and that ended is started": {"Restart", vmtest.Placed(), vmtest.Domain(libvirt.StateShutOff, startedForIt), Memory{}, start},
		"a start that failed is tried again in a while": {"Restart", vmtest.Placed(), vmtest.Domain(libvirt.StateShutOff), later, Decision{
			Report: &Report{State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonStartFailed, Message: "no pages"}, RequeueAfter: time.Minute,
		}},
		"a restart is over when its guest runs": {"Restart", vmtest.Placed(), vmtest.Domain(libvirt.StateRunning, startedForIt), Memory{}, Decision{
			Report: &Report{State: v1alpha1.HostRunning}, Outcome: done("the guest was started with the spec as it is now"),
		}},
		"a restart of a VM that is deleted changes nothing": {"Restart", vmtest.Placed(vmtest.Deleted, vmtest.Said(v1alpha1.HostRunning)), vmtest.Domain(libvirt.StateRunning), Memory{}, Decision{
			Steps: ask.Steps, RequeueAfter: AskAgain,
			Report: &Report{State: v1alpha1.HostStopping, Reason: v1alpha1.ReasonDeleting, Message: ask.Report.Message},
		}},
		"a restart of a VM that shall stop changes nothing": {"Restart", vmtest.Placed(vmtest.Switched), vmtest.Domain(libvirt.StateShutOff), Memory{}, Decision{Report: &Report{State: v1alpha1.HostStopped}}},

		"a plug is pulled":                    {"ForceStop", vmtest.Placed(), vmtest.Domain(libvirt.StateRunning), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"of a VM that is deleted too":         {"ForceStop", vmtest.Placed(vmtest.Deleted), vmtest.Domain(libvirt.StateRunning), Memory{}, Decision{Steps: []Step{StepDestroy}, Again: true}},
		"it is over before anything else":     {"ForceStop", vmtest.Placed(vmtest.Said(v1alpha1.HostRunning)), vmtest.Domain(libvirt.StateShutOff), Memory{Expected: true}, Decision{Outcome: done("the guest is switched off"), Again: true}},
		"a domain of another VM is not":       {"ForceStop", vmtest.Placed(vmtest.Unplaced), vmtest.Domain(libvirt.StateRunning, vmtest.OfAnotherCluster), Memory{}, Decision{Quarantine: "it belongs to a VirtualMachine of another cluster"}},
		"a VM on another host is left to it":  {"ForceStop", vmtest.Placed(vmtest.Moved, vmtest.Epoch(4)), nil, Memory{}, Decision{}},
		"what is done beside changes nothing": {"Reset", vmtest.Placed(), vmtest.Domain(libvirt.StateRunning), Memory{}, Decision{Report: &Report{State: v1alpha1.HostRunning}}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Situation{
				Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: c.vm, Domain: c.domain, Memory: c.memory, Now: vmtest.Now,
				Operation: &Request{UID: "op-uid", Type: c.kind},
			}
			if diff := cmp.Diff(c.want, Decide(in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
