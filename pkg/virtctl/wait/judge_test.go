package wait

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// vm returns a VM of generation 2 that its host has seen, bound to host-1.
func vm(power v1alpha1.PowerState, host v1alpha1.HostState, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	vm.Name, vm.Generation, vm.Status.ObservedGeneration = "web", 2, 2
	vm.Spec.PowerState, vm.Spec.RunPolicy = power, v1alpha1.RunAlways
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "host-1"}
	if host != "" {
		vm.Status.Host = &v1alpha1.HostStatus{State: host}
	}
	for _, f := range change {
		f(vm)
	}
	return vm
}

func unplacedFor(reason, message string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement, vm.Status.Host = nil, nil
		if reason != "" {
			vm.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: reason, Message: message}}
		}
	}
}

func policy(p v1alpha1.RunPolicy) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = p }
}

func says(reason, message string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Reason, vm.Status.Host.Message = reason, message }
}

// hostAway is what vm-scheduler says of a VM whose host is silent.
func hostAway(vm *v1alpha1.VirtualMachine) {
	vm.Status.Conditions = append(vm.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonHostUnreachable, Message: "host-1 is silent",
	})
}

// ranBefore says that a guest was started once, in whichever binding.
func ranBefore(vm *v1alpha1.VirtualMachine) {
	now := metav1.Now()
	if vm.Status.Host == nil {
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: -1}
	}
	vm.Status.Host.StartedAt = &now
}

func unseen(vm *v1alpha1.VirtualMachine) { vm.Generation = 3 }

func deleting(vm *v1alpha1.VirtualMachine) {
	now := metav1.Now()
	vm.DeletionTimestamp = &now
}

func TestJudge(t *testing.T) {
	const on, off, paused, suspended = v1alpha1.PowerRunning, v1alpha1.PowerStopped, v1alpha1.PowerPaused, v1alpha1.PowerSuspended
	ready := func(status metav1.ConditionStatus) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Conditions = append(vm.Status.Conditions, metav1.Condition{Type: "Ready", Status: status})
		}
	}
	for name, test := range map[string]struct {
		goal string
		vm   *v1alpha1.VirtualMachine
		// one of these
		reached  bool
		waits    string
		refusing string
	}{
		"it runs":                             {goal: "running", vm: vm(on, v1alpha1.HostRunning), reached: true},
		"it runs with an older spec":          {goal: "running", vm: vm(on, v1alpha1.HostRunning, unseen), reached: true},
		"no host has room":                    {goal: "running", vm: vm(on, "", unplacedFor("Unschedulable", "need 10 vCPUs")), waits: "has no host: Unschedulable: need 10 vCPUs"},
		"nobody has looked for a host":        {goal: "running", vm: vm(on, "", unplacedFor("", "")), waits: "waits for vm-scheduler to choose a host"},
		"the host has said nothing yet":       {goal: "running", vm: vm(on, ""), waits: "host-1 has not taken it up yet"},
		"the report is of an earlier binding": {goal: "running", vm: vm(on, v1alpha1.HostRunning, func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = 1 }), waits: "host-1 has not taken it up yet"},
		"it failed and is tried again":        {goal: "running", vm: vm(on, v1alpha1.HostFailed, says("StartFailed", "no such disk")), waits: "host-1 tries again: StartFailed: no such disk"},
		"its disk is full":                    {goal: "running", vm: vm(on, v1alpha1.HostPaused, says("DiskFull", "vda")), waits: "host-1 says Paused: DiskFull: vda; is asked to be Running"},
		"it is evicted":                       {goal: "running", vm: vm(on, v1alpha1.HostRunning, func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{Reason: "Preempted"} }), waits: "host-1 ends the guest to give its place up: Preempted"},
		"room is being made":                  {goal: "running", vm: vm(on, "", unplacedFor("", ""), func(vm *v1alpha1.VirtualMachine) { vm.Status.NominatedNodeName = "host-2" }), waits: "room is being made on host-2"},
		"it was stopped and is to start":      {goal: "running", vm: vm(on, v1alpha1.HostStopped, unseen), waits: "host-1 says Stopped; is asked to be Running"},
		"somebody stopped it":                 {goal: "running", vm: vm(off, v1alpha1.HostStopping), refusing: "is asked to be Stopped, not Running: `virtctl start web`"},
		"no host can run it": {goal: "running", vm: vm(on, "", unplacedFor("InvalidDomain", "x"), func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Hold = &v1alpha1.Hold{Generation: 2, Message: "bad\nmachine"}
		}), refusing: "no host can run virtualmachine \"web\" as it is: bad machine: change its spec"},
		"it was held for an earlier spec": {goal: "running", vm: vm(on, "", unplacedFor("InvalidDomain", "x"), unseen, func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Hold = &v1alpha1.Hold{Generation: 2}
		}), waits: "has no host: InvalidDomain: x"},
		"its guest has ended":            {goal: "running", vm: vm(on, v1alpha1.HostEnded, policy(v1alpha1.RunManual), says("GuestShutDown", "")), refusing: "runPolicy Manual leaves it off: GuestShutDown: `virtctl start web`"},
		"its guest had ended before":     {goal: "running", vm: vm(on, v1alpha1.HostEnded, policy(v1alpha1.RunManual), unseen), waits: "the guest has ended"},
		"its one run is over":            {goal: "running", vm: vm(on, v1alpha1.HostEnded, policy(v1alpha1.RunOnce)), refusing: "runPolicy Once"},
		"it is being deleted":            {goal: "running", vm: vm(on, v1alpha1.HostRunning, deleting), refusing: "is being deleted"},
		"it is stopped":                  {goal: "stopped", vm: vm(off, v1alpha1.HostStopped), reached: true},
		"it was stopped before":          {goal: "stopped", vm: vm(off, v1alpha1.HostStopped, unseen), waits: ""},
		"it gave its place up":           {goal: "stopped", vm: vm(off, "", unplacedFor("Released", "")), reached: true},
		"it shuts down":                  {goal: "stopped", vm: vm(off, v1alpha1.HostStopping), waits: "the guest has been asked to shut down"},
		"it ended by itself":             {goal: "stopped", vm: vm(on, v1alpha1.HostEnded, policy(v1alpha1.RunOnce)), reached: true},
		"it may end by itself":           {goal: "stopped", vm: vm(on, v1alpha1.HostRunning, policy(v1alpha1.RunOnce)), waits: ""},
		"nobody asked it to stop":        {goal: "stopped", vm: vm(on, v1alpha1.HostRunning), refusing: "`virtctl stop web`"},
		"it waits for a first host":      {goal: "stopped", vm: vm(on, "", unplacedFor("", "")), refusing: "`virtctl stop web`"},
		"it is paused":                   {goal: "paused", vm: vm(paused, v1alpha1.HostPaused), reached: true},
		"it stands still for its disk":   {goal: "paused", vm: vm(paused, v1alpha1.HostPaused, says("DiskFull", "")), waits: ""},
		"libvirt is starting it":         {goal: "paused", vm: vm(paused, v1alpha1.HostPaused, says("Starting", "")), waits: ""},
		"it has no guest to pause":       {goal: "paused", vm: vm(paused, v1alpha1.HostStopped), refusing: "no guest that could be paused: `virtctl start web` first"},
		"it has no host to pause on":     {goal: "paused", vm: vm(paused, "", unplacedFor("", "")), refusing: "no guest that could be paused"},
		"it still runs":                  {goal: "paused", vm: vm(paused, v1alpha1.HostRunning), waits: "host-1 says Running; is asked to be Paused"},
		"it is suspended":                {goal: "suspended", vm: vm(suspended, v1alpha1.HostSuspended), reached: true},
		"it is to run again":             {goal: "suspended", vm: vm(on, v1alpha1.HostSuspended, unseen), reached: true},
		"it is not asked to suspend":     {goal: "suspended", vm: vm(on, v1alpha1.HostRunning), refusing: "`virtctl suspend web`"},
		"it is on its way out":           {goal: "deleted", vm: vm(on, v1alpha1.HostStopping, deleting), waits: "is being deleted; host-1 is to end its guest"},
		"nobody has deleted it":          {goal: "deleted", vm: vm(on, v1alpha1.HostRunning), waits: "nobody has deleted it"},
		"a condition is so":              {goal: "condition=Ready", vm: vm(on, v1alpha1.HostRunning, ready("True")), reached: true},
		"a condition is not so":          {goal: "condition=Ready=False", vm: vm(on, v1alpha1.HostRunning, ready("True")), waits: ""},
		"a condition is not there":       {goal: "condition=AgentConnected", vm: vm(on, v1alpha1.HostRunning), waits: ""},
		"a condition is unknown":         {goal: "condition=AgentConnected=unknown", vm: vm(on, v1alpha1.HostRunning), reached: true},
		"a stopped VM is not ready":      {goal: "condition=Ready", vm: vm(off, v1alpha1.HostStopped), refusing: "`virtctl start web`"},
		"it ran, and its host is away":   {goal: "running", vm: vm(on, v1alpha1.HostRunning, hostAway), waits: "its host is away: HostUnreachable: host-1 is silent"},
		"it was off, with its host away": {goal: "stopped", vm: vm(off, v1alpha1.HostStopped, hostAway), waits: "its host is away: HostUnreachable: host-1 is silent"},
		"it shall stop, its host away":   {goal: "stopped", vm: vm(off, v1alpha1.HostRunning, hostAway), waits: "its host is away: HostUnreachable: host-1 is silent"},
		"it is to go, its host away":     {goal: "deleted", vm: vm(on, v1alpha1.HostRunning, hostAway, deleting), waits: "is being deleted; its host is away: HostUnreachable: host-1 is silent"},
		"it left the host that is away":  {goal: "stopped", vm: vm(off, "", hostAway, unplacedFor("Released", "")), reached: true},
		"it was ready, its host away":    {goal: "condition=Ready", vm: vm(on, v1alpha1.HostRunning, ready("True"), hostAway), waits: "its host is away: HostUnreachable: host-1 is silent"},
		"its host being away is asked":   {goal: "condition=HostReachable=False", vm: vm(on, v1alpha1.HostRunning, hostAway), reached: true},
		"its host is there":              {goal: "condition=HostReachable", vm: vm(on, v1alpha1.HostRunning), reached: true},
		"its host is waited for":         {goal: "condition=HostReachable", vm: vm(on, v1alpha1.HostRunning, hostAway), waits: "its host is away: HostUnreachable: host-1 is silent"},
		"it ran once and is stopped":     {goal: "running", vm: vm(on, v1alpha1.HostStopped, policy(v1alpha1.RunOnce), ranBefore), refusing: "runPolicy Once"},
		"it ran once and has no place":   {goal: "running", vm: vm(on, "", policy(v1alpha1.RunOnce), unplacedFor("Released", ""), ranBefore), refusing: "runPolicy Once"},
		"its one run begins":             {goal: "running", vm: vm(on, v1alpha1.HostStopped, policy(v1alpha1.RunOnce), says("Starting", "")), waits: "host-1 says Stopped: Starting; is asked to be Running"},
		"its one run is suspended":       {goal: "running", vm: vm(on, v1alpha1.HostSuspended, policy(v1alpha1.RunOnce), ranBefore, unseen), waits: "host-1 says Suspended; is asked to be Running"},
	} {
		t.Run(name, func(t *testing.T) {
			goal, err := Parse(test.goal)
			if err != nil {
				t.Fatal(err)
			}
			v := goal.Judge(test.vm)
			if v.Reached != test.reached || v.Waiting != test.waits || (v.Err != nil) != (test.refusing != "") {
				t.Fatalf("%+v", v)
			}
			if v.Err != nil && (!strings.Contains(v.Err.Error(), test.refusing) || failure.CodeOf(v.Err) != failure.Denied) {
				t.Errorf("%v (code %d), want %q", v.Err, failure.CodeOf(v.Err), test.refusing)
			}
		})
	}
}

func TestParseRefusesWhatIsNoGoal(t *testing.T) {
	for _, text := range []string{"", "up", "condition", "condition=", "condition==True", "condition=Ready=yes"} {
		if g, err := Parse(text); failure.CodeOf(err) != failure.Misused {
			t.Errorf("%q is %s, %v", text, g, err)
		}
	}
	for text, want := range map[string]string{"Running": "running", "condition=Ready": "condition=Ready=True", "Condition=Ready=false": "condition=Ready=False"} {
		if g, err := Parse(text); err != nil || g.String() != want {
			t.Errorf("%q is %s, %v", text, g, err)
		}
	}
}

func TestAConditionIsHad(t *testing.T) {
	for text, want := range map[string]string{
		"running":                  "is not running: waits to be running",
		"condition=AgentConnected": "has not condition=AgentConnected=True: waits to have condition=AgentConnected=True",
	} {
		goal, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := goal.missed() + ": waits to " + goal.infinitive(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
