package executor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// scheduled is a VM that was placed by its present spec.
func scheduled(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := vmtest.Bound(change...)
	vm.Status.Placement.Granted = capacity.Desired(&vm.Spec)
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
	c.ObservedGeneration = vm.Generation
	vm.Status.ObservedGeneration = vm.Generation
	return vm
}

// edited changes the spec as a user does.
func (s *stage) edited(change func(*v1alpha1.VirtualMachineSpec)) {
	s.t.Helper()
	s.edit(func(vm *v1alpha1.VirtualMachine) {
		change(&vm.Spec)
		vm.Generation++
	})
}

func memory(amount string) func(*v1alpha1.VirtualMachineSpec) {
	return func(spec *v1alpha1.VirtualMachineSpec) { spec.Resources.Memory = resource.MustParse(amount) }
}

func domainOf(document string) func(*v1alpha1.VirtualMachineSpec) {
	return func(spec *v1alpha1.VirtualMachineSpec) {
		spec.Domain = &runtime.RawExtension{Raw: []byte(document)}
	}
}

func (s *stage) restartRequired() *metav1.Condition {
	s.t.Helper()
	return meta.FindStatusCondition(s.vm().Status.Conditions, v1alpha1.ConditionRestartRequired)
}

func TestARunningGuestThatHasAnotherSpecThanItsVM(t *testing.T) {
	s := newStage(t, scheduled())
	s.mustTurn()
	if c := s.restartRequired(); c != nil {
		t.Fatalf("%+v", c)
	}

	writes := len(s.writes)
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) {
		memory("1024Mi")(spec) // as it was
		spec.NodeSelector = map[string]string{"a": "b"}
	})
	s.mustTurn()
	if c := s.restartRequired(); c != nil || len(s.writes) != writes {
		t.Errorf("another notation: %+v, it wrote %v", c, s.writes[writes:])
	}

	s.clock.Step(time.Minute)
	s.edited(domainOf(`{"devices":{"inputs":[{"type":"tablet","bus":"usb"}]}}`))
	s.mustTurn()
	at := metav1.NewTime(s.clock.Now())
	want := &metav1.Condition{
		Type: v1alpha1.ConditionRestartRequired, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSpecChanged,
		Message:            "spec.domain.devices.inputs takes effect at the next start, for which the VM is placed anew",
		ObservedGeneration: 9, LastTransitionTime: at,
	}
	// QEMU takes more for the tablet than was granted.
	if diff := cmp.Diff(want, s.restartRequired()); diff != "" {
		t.Error(diff)
	}
	if got := s.vm().Status.ObservedGeneration; got != 7 {
		t.Errorf("observed generation %d: the guest runs as of 7", got)
	}

	// Another executor knows it from the domain alone, and writes nothing.
	writes = len(s.writes)
	s.clock.Step(time.Minute)
	s.restart()
	s.mustTurn()
	s.mustTurn()
	if len(s.writes) != writes {
		t.Errorf("it wrote %v", s.writes[writes:])
	}

	s.edited(memory("2Gi"))
	s.mustTurn()
	const both = "spec.domain.devices.inputs, spec.resources.memory take effect at the next start, for which the VM is placed anew"
	if c := s.restartRequired(); c == nil || c.Message != both || !c.LastTransitionTime.Equal(&at) {
		t.Errorf("%+v", c)
	}
	if len(s.writes) != writes+1 {
		t.Errorf("it wrote %v", s.writes[writes:])
	}

	s.edited(func(spec *v1alpha1.VirtualMachineSpec) {
		memory("1Gi")(spec)
		spec.Domain = nil
	})
	s.mustTurn()
	if c := s.restartRequired(); c != nil {
		t.Errorf("all is as it was: %+v", c)
	}
}

func TestAGuestThatHasEndedNeedsNoRestart(t *testing.T) {
	s := newStage(t, scheduled())
	s.mustTurn()
	s.edited(domainOf(`{"title":"new"}`))
	s.mustTurn()
	if c := s.restartRequired(); c == nil || c.Message != "spec.domain.title takes effect at the next start" {
		t.Fatalf("%+v", c)
	}
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonShutDown)
	after, err := s.agent.turn(context.Background(), guestKey)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.restartRequired(); c != nil || s.said().State != v1alpha1.HostFailed {
		t.Errorf("%s: %+v", s.said().State, c)
	}
	s.clock.Step(after)
	s.mustTurn()
	if c := s.restartRequired(); c != nil || s.said().State != v1alpha1.HostRunning {
		t.Errorf("%s: %+v", s.said().State, c)
	}
}

func TestADomainWithoutARecordClaimsNothing(t *testing.T) {
	vm := scheduled(func(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.Memory = resource.MustParse("2Gi") })
	for name, record := range map[string]convert.SpecRecord{"none": "", "one of another format": "9:0 resources.memory=x"} {
		d := vmtest.Domain(libvirt.StateRunning, func(d *ownership.Observed) { d.Ownership.Generation, d.Ownership.Spec = 6, record })
		if got, _ := plan.Pending(plan.Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: vm, Domain: d, Now: vmtest.Now}); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAMessageNamesNoMoreThanAPersonReads(t *testing.T) {
	var fields []string
	for range 14 {
		fields = append(fields, "f")
	}
	const want = "f, f, f, f, f, f, f, f, f, f and 4 more take effect at the next start"
	if got := plan.AtNextStart(fields, false); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOutgrown(t *testing.T) {
	cells := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.NUMA, vm.Spec.Resources.CPUPolicy = v1alpha1.NUMASingleCell, v1alpha1.CPUDedicated
		vm.Spec.Resources.Devices = []v1alpha1.DeviceRequest{{Name: "vf", Count: 2}}
		vm.Status.Placement.Cells = []v1alpha1.PlacedCell{{ID: 0, CPU: 1, Memory: 1 << 30, CPUs: "2"}}
		vm.Status.Placement.Devices = []v1alpha1.PlacedDevice{{Name: "vf", Address: "0000:5e:00.2"}, {Name: "vf", Address: "0000:5e:00.3"}}
	}
	type specs func(*v1alpha1.VirtualMachineSpec)
	for name, test := range map[string]struct {
		placed func(*v1alpha1.VirtualMachine)
		edit   specs
		want   []string
	}{
		"nothing of it":          {edit: func(s *v1alpha1.VirtualMachineSpec) { s.NodeSelector = map[string]string{"a": "b"} }},
		"another notation":       {edit: memory("1024Mi")},
		"more memory":            {edit: memory("2Gi"), want: []string{"spec.resources.memory"}},
		"less memory":            {edit: memory("512Mi"), want: []string{"spec.resources.memory"}},
		"CPUs":                   {edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.CPU = 2 }, want: []string{"spec.resources.cpu"}},
		"pages":                  {edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: "2Mi"} }, want: []string{"spec.resources.hugepages"}},
		"an overhead":            {edit: func(s *v1alpha1.VirtualMachineSpec) { q := resource.MustParse("900Mi"); s.Resources.Overhead = &q }, want: []string{"spec.resources.overhead"}},
		"dedicated CPUs":         {edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.CPUPolicy = v1alpha1.CPUDedicated }, want: []string{"spec.resources.cpuPolicy"}},
		"cells":                  {edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.NUMA = v1alpha1.NUMASpread }, want: []string{"spec.resources.numa"}},
		"a device":               {edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.Devices = []v1alpha1.DeviceRequest{{Name: "gpu"}} }, want: []string{"spec.resources.devices"}},
		"devices of the domain":  {edit: domainOf(`{"devices":{"inputs":[{"type":"tablet"}]}}`), want: []string{"spec.domain"}},
		"a domain no larger":     {edit: domainOf(`{"title":"new"}`)},
		"cells as they were":     {placed: cells, edit: domainOf(`{"title":"new"}`)},
		"other cells":            {placed: cells, edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.NUMA = v1alpha1.NUMASpread }, want: []string{"spec.resources.numa"}},
		"threads":                {placed: cells, edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.Threads = v1alpha1.ThreadsApart }, want: []string{"spec.resources.threads"}},
		"no cells any more":      {placed: cells, edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.NUMA = "" }, want: []string{"spec.resources.numa"}},
		"CPUs that are shared":   {placed: cells, edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.CPUPolicy = "" }, want: []string{"spec.resources.cpuPolicy"}},
		"a device less":          {placed: cells, edit: func(s *v1alpha1.VirtualMachineSpec) { s.Resources.Devices[0].Count = 1 }, want: []string{"spec.resources.devices"}},
		"an overhead as granted": {placed: func(vm *v1alpha1.VirtualMachine) { q := resource.MustParse("900Mi"); vm.Spec.Resources.Overhead = &q }, edit: domainOf(`{"devices":{"inputs":[{"type":"tablet"}]}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			change := test.placed
			if change == nil {
				change = func(*v1alpha1.VirtualMachine) {}
			}
			vm := scheduled(change)
			d := vmtest.Domain(libvirt.StateShutOff, func(d *ownership.Observed) { d.Ownership.Spec = convert.RecordSpec(&vm.Spec) })
			in := plan.Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: vm, Domain: d, Now: vmtest.Now}
			if got := plan.Outgrown(in); got != nil {
				t.Fatalf("before the edit: %v", got)
			}
			test.edit(&vm.Spec)
			if got := plan.Outgrown(in); got != nil {
				t.Errorf("of the generation that was placed: %v", got)
			}
			vm.Generation++
			if diff := cmp.Diff(test.want, plan.Outgrown(in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAVMThatWasResizedIsPlacedAnewBeforeItStarts(t *testing.T) {
	gone := &plan.Report{State: v1alpha1.HostGone, Reason: v1alpha1.ReasonResizeNeedsPlacement, Message: "another place is needed for the spec.resources.memory that the VM has now"}
	resized := func(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
		vm := scheduled(change...)
		vm.Generation++
		memory("2Gi")(&vm.Spec)
		return vm
	}
	for name, c := range map[string]struct {
		vm     *v1alpha1.VirtualMachine
		domain *ownership.Observed
		memory plan.Memory
		want   plan.Decision
	}{
		"before its first start":     {vm: resized(), want: plan.Decision{Report: gone}},
		"after it was stopped":       {vm: resized(vmtest.Said(v1alpha1.HostStopped)), domain: vmtest.Domain(libvirt.StateShutOff), want: plan.Decision{Steps: []plan.Step{plan.StepUndefine}, Report: gone}},
		"not while it runs":          {vm: resized(vmtest.Said(v1alpha1.HostRunning)), domain: vmtest.Domain(libvirt.StateRunning), want: plan.Decision{Report: &plan.Report{State: v1alpha1.HostRunning}}},
		"not while it is stopped":    {vm: resized(vmtest.Switched), domain: vmtest.Domain(libvirt.StateShutOff), want: plan.Decision{Report: &plan.Report{State: v1alpha1.HostStopped}}},
		"not before its end is told": {vm: resized(vmtest.Said(v1alpha1.HostRunning)), domain: vmtest.Domain(libvirt.StateShutOff), want: plan.Decision{Steps: []plan.Step{plan.StepNoteEnd}, Again: true}},
		"not what is not ours":       {vm: resized(), domain: vmtest.Domain(libvirt.StateShutOff, vmtest.OfAnotherCluster), want: plan.Decision{Quarantine: "it belongs to a VirtualMachine of another cluster", Report: gone}},
	} {
		t.Run(name, func(t *testing.T) {
			got := plan.Decide(plan.Situation{Node: vmtest.Node, ClusterID: vmtest.Cluster, VM: c.vm, Domain: c.domain, Memory: c.memory, Now: vmtest.Now})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A guest never runs with more than it was granted, and is never given more but
// by the scheduler.
func TestAResizeFromEndToEnd(t *testing.T) {
	s := newStage(t, scheduled())
	s.mustTurn()
	s.edited(memory("2Gi"))
	s.mustTurn()
	s.host.done = nil
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonShutDown)
	after, err := s.agent.turn(context.Background(), guestKey)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Step(after)
	s.mustTurn()
	if diff := cmp.Diff([]string{"undefine"}, s.host.done); diff != "" || len(s.host.domains) != 0 {
		t.Errorf("on the host: %s, left %v", diff, s.host.domains)
	}
	h := s.said()
	if h.State != v1alpha1.HostGone || h.Reason != v1alpha1.ReasonResizeNeedsPlacement || !strings.Contains(h.Message, "spec.resources.memory") || s.restartRequired() != nil {
		t.Errorf("%+v, %+v", h, s.restartRequired())
	}
	writes := len(s.writes)
	s.mustTurn()
	if len(s.writes) != writes || len(s.host.done) != 1 {
		t.Errorf("a binding that was given up: it wrote %v and did %v", s.writes[writes:], s.host.done)
	}

	// As the scheduler does.
	s.edit(func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Epoch++
		vm.Status.Placement.Granted = capacity.Desired(&vm.Spec)
		meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled).ObservedGeneration = vm.Generation
	})
	s.mustTurn()
	if h := s.said(); h.State != v1alpha1.HostRunning || s.host.domains[vmtest.UID].Memory != 2<<30 || s.restartRequired() != nil {
		t.Errorf("%+v, %+v", h, s.host.domains[vmtest.UID])
	}
}

func TestAResizeSurvivesACrash(t *testing.T) {
	c := scenario{
		prepare: func(s *stage) {
			s.mustTurn()
			s.edited(func(spec *v1alpha1.VirtualMachineSpec) {
				memory("2Gi")(spec)
				spec.PowerState = v1alpha1.PowerStopped
			})
			s.mustTurn()
			s.mustTurn()
			s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.PowerState = v1alpha1.PowerRunning })
		},
		settled: func(s *stage) bool {
			if slices.Contains(s.host.done, "start") && s.host.done[len(s.host.done)-1] == "start" && s.host.domains[vmtest.UID].State.Active() && s.vm().Spec.PowerState == v1alpha1.PowerRunning {
				s.t.Fatal("the guest was started on its old place")
			}
			return s.said().State == v1alpha1.HostGone && len(s.host.domains) == 0
		},
	}
	for crash := 1; ; crash++ {
		found := false
		for _, after := range []bool{false, true} {
			s := newStage(t, scheduled())
			c.prepare(s)
			found = survives(s, c, crash, after) || found
		}
		if !found {
			if crash < 3 {
				t.Fatalf("it did %d things only", crash-1)
			}
			return
		}
	}
}

// What a guest was started with is kept where the guest is, and takes little room.
func TestTheRecordIsInTheDomainsMark(t *testing.T) {
	s := newStage(t, scheduled())
	s.mustTurn()
	d := ownership.Observe(s.host.domains[vmtest.UID])
	if !d.Owned || d.Ownership.Spec == "" {
		t.Fatalf("%+v", d.Ownership)
	}
	if n := len(d.Ownership.Spec); n > 512 {
		t.Errorf("%d bytes: %s", n, d.Ownership.Spec)
	}
}
