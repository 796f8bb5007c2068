package growth

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// machine has 2 vCPUs and 2Gi, may have 4 and 4Gi, and asks for so much.
func machine(cpu int32, memory string, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	most := resource.MustParse("4Gi")
	vm := &v1alpha1.VirtualMachine{}
	vm.Generation = 5
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("2Gi"), MaxCPU: 4, MaxMemory: &most}
	vm.Status.Epoch = 3
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "a", Granted: podless.Desired(vm)}
	vm.Status.Host = &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRunning, CPU: 2, Memory: 2 << 30}
	vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = cpu, resource.MustParse(memory)
	for _, f := range change {
		f(vm)
	}
	return vm
}

// granted is 4 vCPUs and 3 GiB.
func granted() func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement.Granted.CPU, vm.Status.Placement.Granted.Memory = 4, 3<<30
	}
}

// refused is so many vCPUs and 3 GiB, of which the host holds less.
func refused(cpu int32, heldCPU int32, heldMemory int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Host.Refused = &v1alpha1.GrowthRefusal{
			Granted: v1alpha1.GuestSize{CPU: cpu, Memory: 3 << 30}, Held: v1alpha1.GuestSize{CPU: heldCPU, Memory: heldMemory << 30},
			Reason: v1alpha1.ReasonHostUnfit, Message: "the host is full",
		}
	}
}

func reports(memory int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Memory = memory << 30 }
}

func pends(reason string, generation int64, since time.Duration) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionResizePending, Status: metav1.ConditionTrue, Reason: reason, Message: "why", ObservedGeneration: generation,
			LastTransitionTime: metav1.NewTime(now.Add(-since)),
		}}
	}
}

// stands has the guest be in the state, and the VM ask for a power state.
func stands(state v1alpha1.HostState, power v1alpha1.PowerState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State, vm.Spec.PowerState = state, power }
}

// told is how much memory the guest's balloon was told to leave it, in vain.
func told(memory int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.MemoryTarget = memory << 30 }
}

func TestNext(t *testing.T) {
	const (
		taken = v1alpha1.ReasonHostRefused
		waits = v1alpha1.ReasonGrowthWaits
		still = v1alpha1.ReasonGuestStandsStill
		keeps = v1alpha1.ReasonGuestKeepsMemory
	)
	const paused, halted, suspended = v1alpha1.HostPaused, v1alpha1.PowerPaused, v1alpha1.HostSuspended
	asIs := v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}
	deleted := func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &metav1.Time{Time: now} }
	fixed := func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement.Granted.MaxCPU, vm.Status.Placement.Granted.MaxMemory, vm.Status.Host.Memory = 0, 0, 0
	}
	for name, test := range map[string]struct {
		vm *v1alpha1.VirtualMachine
		// size is granted after it, reason that of the condition, again when more is due.
		size   v1alpha1.GuestSize
		reason string
		again  time.Duration
	}{
		"nothing":                             {machine(2, "2Gi"), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"what was refused is taken back":      {machine(4, "3Gi", granted(), refused(4, 2, 2)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, taken, RefusedFor},
		"but for what the guest has":          {machine(4, "3Gi", granted(), refused(4, 3, 3)), v1alpha1.GuestSize{CPU: 3, Memory: 3 << 30}, taken, RefusedFor},
		"a refusal of something else":         {machine(4, "3Gi", granted(), refused(3, 2, 2)), v1alpha1.GuestSize{CPU: 4, Memory: 3 << 30}, "", 0},
		"a refusal of another epoch":          {machine(4, "3Gi", granted(), refused(4, 2, 2), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Epoch = 2 }), v1alpha1.GuestSize{CPU: 4, Memory: 3 << 30}, "", 0},
		"a refusal that holds all":            {machine(4, "3Gi", granted(), refused(4, 4, 3)), v1alpha1.GuestSize{CPU: 4, Memory: 3 << 30}, "", 0},
		"refused a minute ago":                {machine(4, "2Gi", pends(taken, 5, time.Minute)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, taken, 4 * time.Minute},
		"refused long ago":                    {machine(4, "2Gi", pends(taken, 5, RefusedFor)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"refused, and something else asked":   {machine(3, "2Gi", pends(taken, 4, time.Minute)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, taken, 0},
		"refused, and asked for no more":      {machine(2, "2Gi", pends(taken, 5, time.Minute)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"waits":                               {machine(4, "2Gi", pends(waits, 5, time.Hour)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, waits, 0},
		"waits no more":                       {machine(2, "2Gi", pends(waits, 4, 0)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"waits, and is stopped":               {machine(4, "2Gi", pends(waits, 4, 0), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"gave memory back":                    {machine(2, "1Gi", reports(1)), v1alpha1.GuestSize{CPU: 2, Memory: 1 << 30}, "", 0},
		"gave more back than was asked":       {machine(2, "1536Mi", reports(1)), v1alpha1.GuestSize{CPU: 2, Memory: 3 << 29}, "", 0},
		"has not given it back":               {machine(2, "1Gi", reports(2)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"has less than it asks for":           {machine(2, "2Gi", reports(1)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"says nothing of its memory":          {machine(2, "1Gi", reports(0)), v1alpha1.GuestSize{CPU: 2, Memory: 2 << 30}, "", 0},
		"gave memory back, and waits for CPU": {machine(4, "1Gi", reports(1), pends(waits, 5, 0)), v1alpha1.GuestSize{CPU: 2, Memory: 1 << 30}, waits, 0},

		"is paused, and as it was":              {machine(2, "2Gi", stands(paused, halted)), asIs, "", 0},
		"is paused, and is to grow":             {machine(4, "2Gi", stands(paused, halted)), asIs, still, 0},
		"is paused, and is to have less memory": {machine(2, "1Gi", stands(paused, halted)), asIs, still, 0},
		"is paused, and cannot grow so far":     {machine(8, "9Gi", stands(paused, halted)), asIs, "", 0},
		"is paused, and cannot grow at all":     {machine(4, "3Gi", stands(paused, halted), fixed), asIs, "", 0},
		"is suspended, and is to grow":          {machine(2, "3Gi", stands(suspended, v1alpha1.PowerSuspended)), asIs, still, 0},
		"is paused while it waits":              {machine(4, "2Gi", stands(paused, halted), pends(waits, 5, 0)), asIs, still, 0},
		"is paused after it was refused":        {machine(4, "2Gi", stands(paused, halted), pends(taken, 5, time.Minute)), asIs, still, 0},
		"is paused and deleted":                 {machine(4, "2Gi", stands(paused, halted), deleted), asIs, "", 0},
		"shall go on, and has not yet":          {machine(4, "2Gi", stands(paused, v1alpha1.PowerRunning), pends(still, 5, 0)), asIs, still, 0},
		"goes on":                               {machine(4, "2Gi", pends(still, 5, 0)), asIs, "", 0},
		"was edited back while it is paused":    {machine(2, "2Gi", stands(paused, halted), pends(still, 4, 0)), asIs, "", 0},
		"has stopped":                           {machine(4, "2Gi", stands(v1alpha1.HostStopped, halted), pends(still, 5, 0)), asIs, "", 0},

		"keeps its memory":                         {machine(2, "1Gi", reports(2), told(1)), asIs, keeps, 0},
		"does not take the memory it may have":     {machine(2, "2Gi", reports(1), told(2)), asIs, keeps, 0},
		"keeps it, and says so no more":            {machine(2, "1Gi", reports(2), pends(keeps, 5, 0)), asIs, "", 0},
		"keeps it, and is to have more vCPUs":      {machine(4, "1Gi", reports(2), told(1)), asIs, "", 0},
		"keeps it, and waits for vCPUs":            {machine(4, "1Gi", reports(2), told(1), pends(waits, 5, 0)), asIs, waits, 0},
		"keeps it, and is refused vCPUs":           {machine(4, "1Gi", reports(2), told(1), pends(taken, 5, time.Minute)), asIs, taken, 4 * time.Minute},
		"has got what it was told by now":          {machine(2, "2Gi", reports(2), told(2)), asIs, "", 0},
		"another executor's binding kept the same": {machine(2, "1Gi", reports(2), told(1), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Epoch = 2 }), asIs, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := test.vm.DeepCopy()
			s := test.vm.Status.DeepCopy()
			again := next(s, test.vm, now)
			reason := ""
			if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionResizePending); c != nil {
				reason = c.Reason
			}
			if got := s.Placement.Granted.Size(); got != test.size || reason != test.reason || again != test.again {
				t.Errorf("granted %+v, condition %q, again in %s; want %+v, %q, %s", got, reason, again, test.size, test.reason, test.again)
			}
			if diff := cmp.Diff(before, test.vm); diff != "" {
				t.Errorf("it changed what it was given: %s", diff)
			}
			// Done once it is done.
			test.vm.Status = *s
			after := s.DeepCopy()
			next(after, test.vm, now)
			if diff := cmp.Diff(s, after); diff != "" {
				t.Errorf("it would be written again: %s", diff)
			}
			if h := host(&test.vm.Status); (reason != "" || h != nil && h.Memory != 0) && !concerns(test.vm) {
				t.Error("it would not be looked at")
			}
		})
	}
}

func TestWhatTheGuestIsInTheWayOfIsSaidWithTheRemedy(t *testing.T) {
	named := func(vm *v1alpha1.VirtualMachine) { vm.Namespace, vm.Name = "demo", "web" }
	for want, vm := range map[string]*v1alpha1.VirtualMachine{
		"the guest is paused, and is to have 4 vCPUs and 3Gi of memory when it runs again: set spec.powerState to Running (`virtctl resume -n demo web`)": machine(4, "3Gi", named, stands(v1alpha1.HostPaused, v1alpha1.PowerPaused)),
		"the guest is suspended, and is to have 1Gi of memory when it runs again: set spec.powerState to Running (`virtctl resume -n demo web`)":          machine(2, "1Gi", named, stands(v1alpha1.HostSuspended, v1alpha1.PowerSuspended)),
		"the guest is paused, and is to have 3 vCPUs when it runs again: see status.host.message for what it stands still for":                            machine(3, "2Gi", named, stands(v1alpha1.HostPaused, v1alpha1.PowerRunning)),
		"the guest keeps 2Gi of memory and is to have 1Gi: it gives memory back by its driver virtio_balloon, as far as it is free: load that in the guest, or free memory there, or set spec.resources.memory to more; " +
			"a guest without that driver has all of spec.resources.maxMemory: leave that out, and restart it": machine(2, "1Gi", named, told(1)),
		"the guest keeps 1Gi of memory and may have 2Gi: its driver virtio_balloon does not take it: see whether the guest hangs; `virtctl restart -n demo web` starts it with what it may have": machine(2, "2Gi", named, reports(1), told(2)),
	} {
		s := vm.Status.DeepCopy()
		next(s, vm, now)
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionResizePending)
		if c == nil {
			t.Errorf("nothing is said, want %q", want)
			continue
		}
		if diff := cmp.Diff(want, c.Message); diff != "" {
			t.Error(diff)
		}
	}
}
