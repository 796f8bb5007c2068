package grouping

import (
	"testing"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var on = Options{Enabled: true, SchedulerNames: sets.New("vm-scheduler")}

func waiting() *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	vm.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: "db"}
	vm.Spec.SchedulerName, vm.Spec.PowerState = "vm-scheduler", v1alpha1.PowerRunning
	return vm
}

func placed() *v1alpha1.VirtualMachine {
	vm := waiting()
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
	return vm
}

func evicted() *v1alpha1.VirtualMachine {
	vm := placed()
	vm.Status.Eviction = &v1alpha1.Eviction{}
	return vm
}

func stopped() *v1alpha1.VirtualMachine {
	vm := waiting()
	vm.Spec.PowerState = v1alpha1.PowerStopped
	return vm
}

func gang(minCount int32) *schedulingv1beta1.PodGroup {
	pg := &schedulingv1beta1.PodGroup{}
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: minCount}
	return pg
}

func TestWhyAGroupIsNotPlaced(t *testing.T) {
	basic := &schedulingv1beta1.PodGroup{}
	basic.Spec.SchedulingPolicy.Basic = &schedulingv1beta1.BasicSchedulingPolicy{}
	const incomplete = "PodGroup db is placed when 3 VirtualMachines of it shall run: create or start the others, or lower its minCount"
	for name, test := range map[string]struct {
		options Options
		group   *schedulingv1beta1.PodGroup
		vms     []*v1alpha1.VirtualMachine
		want    string
	}{
		"complete":                       {on, gang(2), []*v1alpha1.VirtualMachine{waiting(), waiting()}, ""},
		"one is bound already":           {on, gang(2), []*v1alpha1.VirtualMachine{waiting(), placed()}, ""},
		"two of three":                   {on, gang(3), []*v1alpha1.VirtualMachine{waiting(), waiting()}, incomplete},
		"one of three is stopped":        {on, gang(3), []*v1alpha1.VirtualMachine{waiting(), waiting(), stopped()}, incomplete},
		"one of three is on its way out": {on, gang(3), []*v1alpha1.VirtualMachine{waiting(), waiting(), evicted()}, incomplete},
		"a group that is no gang":        {on, basic, []*v1alpha1.VirtualMachine{waiting()}, ""},
		"a group that was never created": {on, nil, []*v1alpha1.VirtualMachine{waiting()}, "there is no PodGroup db in this namespace: create it"},
		"groups are off": {Options{}, nil, []*v1alpha1.VirtualMachine{waiting()}, "spec.schedulingGroup: groups of VirtualMachines are off here: " +
			"start vm-scheduler with --feature-gates=GenericWorkload=true, or create the VirtualMachine without schedulingGroup"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.options.why("db", test.group, test.vms); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestOnlyVMsThatWaitAreTold(t *testing.T) {
	others := waiting()
	others.Spec.SchedulerName = "somebody-else"
	deleted := waiting()
	deleted.DeletionTimestamp = &metav1.Time{}
	for name, test := range map[string]struct {
		vm   *v1alpha1.VirtualMachine
		want bool
	}{
		"waits for a host":       {waiting(), true},
		"is bound":               {placed(), false},
		"shall not run":          {stopped(), false},
		"is being deleted":       {deleted, false},
		"is another scheduler's": {others, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := on.waits(test.vm); got != test.want {
				t.Errorf("told is %t, want %t", got, test.want)
			}
		})
	}
}
