package power

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestWriteChangesOnlyThePowerStateOfThisVM(t *testing.T) {
	scheme, err := cluster.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm", UID: "1"}}
	vm.Spec.PowerState = v1alpha1.PowerRunning
	vm.Spec.Resources.CPU = 3
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(vm).Build()
	if err := write(t.Context(), c, vm.DeepCopy(), v1alpha1.PowerStopped); err != nil {
		t.Fatal(err)
	}
	live := &v1alpha1.VirtualMachine{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(vm), live); err != nil {
		t.Fatal(err)
	}
	if live.Spec.PowerState != v1alpha1.PowerStopped || live.Spec.Resources.CPU != 3 {
		t.Errorf("spec is %+v", live.Spec)
	}
}

func TestDecide(t *testing.T) {
	const ended, running, none = v1alpha1.HostEnded, v1alpha1.HostRunning, v1alpha1.HostState("")
	on, off := v1alpha1.PowerRunning, v1alpha1.PowerStopped
	for name, test := range map[string]struct {
		verb      verb
		force     bool
		power     v1alpha1.PowerState
		policy    v1alpha1.RunPolicy
		host      v1alpha1.HostState
		ran       bool
		refused   bool
		patch     bool
		operation bool
	}{
		"start what is stopped":                  {verb: start, power: off, host: v1alpha1.HostStopped, patch: true},
		"start what runs":                        {verb: start, power: on, host: running},
		"start what has no host":                 {verb: start, power: off, host: none, patch: true},
		"start what has ended":                   {verb: start, power: on, policy: v1alpha1.RunManual, host: ended, operation: true},
		"start what has ended and was stopped":   {verb: start, power: off, policy: v1alpha1.RunManual, host: ended, patch: true},
		"start what has run once":                {verb: start, power: on, policy: v1alpha1.RunOnce, host: ended, refused: true},
		"start what has run once, and stopped":   {verb: start, power: off, policy: v1alpha1.RunOnce, host: ended, refused: true},
		"start what runs once and has not begun": {verb: start, power: off, policy: v1alpha1.RunOnce, host: none, patch: true},
		"start what ran once and was stopped":    {verb: start, power: off, policy: v1alpha1.RunOnce, host: v1alpha1.HostStopped, ran: true, refused: true},
		"start what ran once and has no host":    {verb: start, power: off, policy: v1alpha1.RunOnce, host: none, ran: true, refused: true},
		"start what is in its one run":           {verb: start, power: on, policy: v1alpha1.RunOnce, host: running, ran: true},
		"start what was suspended in its run":    {verb: start, power: v1alpha1.PowerSuspended, policy: v1alpha1.RunOnce, host: v1alpha1.HostSuspended, ran: true, patch: true},
		"start what has run before":              {verb: start, power: off, policy: v1alpha1.RunManual, host: v1alpha1.HostStopped, ran: true, patch: true},
		"stop what runs":                         {verb: stop, power: on, host: running, patch: true},
		"stop what is stopped":                   {verb: stop, power: off, host: v1alpha1.HostStopped},
		"stop with force":                        {verb: stop, force: true, power: on, host: running, patch: true, operation: true},
		"stop with force what is slow to stop":   {verb: stop, force: true, power: off, host: v1alpha1.HostStopping, operation: true},
		"stop with force what has no guest":      {verb: stop, force: true, power: on, host: none, patch: true},
		"pause what runs":                        {verb: pause, power: on, host: running, patch: true},
		"pause what has no guest":                {verb: pause, power: on, host: none, refused: true},
		"pause what is suspended":                {verb: pause, power: v1alpha1.PowerSuspended, host: v1alpha1.HostSuspended, refused: true},
		"pause what is paused":                   {verb: pause, power: v1alpha1.PowerPaused, host: v1alpha1.HostPaused},
		"suspend what is paused":                 {verb: suspend, power: v1alpha1.PowerPaused, host: v1alpha1.HostPaused, patch: true},
		"suspend what has ended":                 {verb: suspend, power: on, host: ended, refused: true},
		"suspend what is suspended":              {verb: suspend, power: v1alpha1.PowerSuspended, host: v1alpha1.HostSuspended},
		"resume what is paused":                  {verb: resume, power: v1alpha1.PowerPaused, host: v1alpha1.HostPaused, patch: true},
		"resume what is suspended":               {verb: resume, power: v1alpha1.PowerSuspended, host: v1alpha1.HostSuspended, patch: true},
		"resume what runs":                       {verb: resume, power: on, host: running},
		"resume what is stopped":                 {verb: resume, power: off, host: v1alpha1.HostStopped, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{}
			vm.Spec.PowerState, vm.Spec.RunPolicy = test.power, test.policy
			if test.host != none {
				vm.Status.Placement = &v1alpha1.Placement{NodeName: "host"}
				vm.Status.Host = &v1alpha1.HostStatus{State: test.host}
			}
			if test.ran {
				now := metav1.Now()
				if vm.Status.Host == nil {
					vm.Status.Host = &v1alpha1.HostStatus{Epoch: -1, State: v1alpha1.HostGone}
				}
				vm.Status.Host.StartedAt = &now
			}
			o := &command{verb: test.verb, force: test.force}
			d := o.decide(vm)
			if (d.refusal != nil) != test.refused || d.patch != test.patch || d.operation != test.operation {
				t.Errorf("%+v", d)
			}
			if test.refused && failure.CodeOf(d.refusal) != failure.Denied {
				t.Errorf("refused with code %d", failure.CodeOf(d.refusal))
			}
			now := metav1.Now()
			vm.DeletionTimestamp = &now
			d = o.decide(vm)
			if test.verb.name == stop.name && test.force && test.host != none {
				if d.refusal != nil || d.patch || !d.operation {
					t.Errorf("while it is being deleted: %+v", d)
				}
			} else if failure.CodeOf(d.refusal) != failure.Denied {
				t.Errorf("while it is being deleted: %+v", d)
			}
		})
	}
}

// A remedy that would be refused is none.
func TestWhatIsRefusedLeadsSomewhere(t *testing.T) {
	ran := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.RunPolicy, vm.Spec.PowerState = v1alpha1.RunOnce, v1alpha1.PowerStopped
		vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
		vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostStopped, StartedAt: &metav1.Time{}}
	}
	held := func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Hold = &v1alpha1.Hold{Generation: 2, Message: "no such machine"}
	}
	for name, test := range map[string]struct {
		verb verb
		vm   func(*v1alpha1.VirtualMachine)
		want string
	}{
		"pause what has had its one run":  {pause, ran, "for one run (spec.runPolicy Once)"},
		"resume what has had its one run": {resume, ran, "for one run (spec.runPolicy Once)"},
		"suspend what no host can run":    {suspend, held, `no host can run virtualmachine "web" as it is: no such machine: change its spec`},
		"pause what waits for a host":     {pause, func(*v1alpha1.VirtualMachine) {}, "`virtctl wait web --for=running` first"},
		"pause what is edited since":      {pause, func(vm *v1alpha1.VirtualMachine) { held(vm); vm.Generation = 3 }, "`virtctl wait web --for=running` first"},
	} {
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 2}}
		vm.Spec.PowerState = v1alpha1.PowerRunning
		test.vm(vm)
		o := &command{verb: test.verb}
		if err := o.decide(vm).refusal; err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
