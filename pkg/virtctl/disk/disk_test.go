package disk

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func vm(disks ...v1alpha1.VirtualMachineDisk) *v1alpha1.VirtualMachine {
	out := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", Generation: 3}}
	out.Spec.Disks = disks
	return out
}

func TestEdits(t *testing.T) {
	root := v1alpha1.VirtualMachineDisk{Name: "root", DiskName: "web-root"}
	drive := func(name, disk string) v1alpha1.VirtualMachineDisk {
		return v1alpha1.VirtualMachineDisk{Name: name, DiskName: disk, Type: v1alpha1.DeviceCDROM}
	}
	forced := drive("cd", "")
	forced.ForceEject = true
	data := v1alpha1.VirtualMachineDisk{Name: "data", DiskName: "data"}
	other := v1alpha1.VirtualMachineDisk{Name: "root", DiskName: "data"}
	for name, test := range map[string]struct {
		edit edit
		has  []v1alpha1.VirtualMachineDisk
		want []v1alpha1.VirtualMachineDisk
		err  string
	}{
		"a disk more":                  {attach(data), []v1alpha1.VirtualMachineDisk{root}, []v1alpha1.VirtualMachineDisk{root, data}, ""},
		"one that it has":              {attach(data), []v1alpha1.VirtualMachineDisk{data}, []v1alpha1.VirtualMachineDisk{data}, ""},
		"one that it has as another":   {attach(v1alpha1.VirtualMachineDisk{Name: "x", DiskName: "web-root"}), []v1alpha1.VirtualMachineDisk{root}, nil, "has VirtualDisk web-root already, as root"},
		"a name that is taken":         {attach(other), []v1alpha1.VirtualMachineDisk{root}, nil, "has another disk of the name root, VirtualDisk web-root: choose one with --name"},
		"one fewer, by its name":       {detach("root"), []v1alpha1.VirtualMachineDisk{root, data}, []v1alpha1.VirtualMachineDisk{data}, ""},
		"one fewer, by its disk":       {detach("web-root"), []v1alpha1.VirtualMachineDisk{root, data}, []v1alpha1.VirtualMachineDisk{data}, ""},
		"one that it has not":          {detach("web"), []v1alpha1.VirtualMachineDisk{root}, nil, "has no disk web: see its spec.disks"},
		"into the only drive":          {medium("iso", "", false), []v1alpha1.VirtualMachineDisk{root, drive("cd", "old")}, []v1alpha1.VirtualMachineDisk{root, drive("cd", "iso")}, ""},
		"into one of several":          {medium("iso", "b", false), []v1alpha1.VirtualMachineDisk{drive("a", ""), drive("b", "")}, []v1alpha1.VirtualMachineDisk{drive("a", ""), drive("b", "iso")}, ""},
		"into which of several":        {medium("iso", "", false), []v1alpha1.VirtualMachineDisk{drive("a", ""), drive("b", "")}, nil, "has several drives, a and b among them: name one with --drive"},
		"into no drive":                {medium("iso", "", false), []v1alpha1.VirtualMachineDisk{root}, nil, "has no drive for CD-ROMs: add one to its spec.disks, with type cdrom"},
		"out, by force":                {medium("", "", true), []v1alpha1.VirtualMachineDisk{drive("cd", "iso")}, []v1alpha1.VirtualMachineDisk{forced}, ""},
		"force does not stay":          {medium("iso", "", false), []v1alpha1.VirtualMachineDisk{forced}, []v1alpha1.VirtualMachineDisk{drive("cd", "iso")}, ""},
		"a disk of that name is no CD": {medium("iso", "root", false), []v1alpha1.VirtualMachineDisk{root}, nil, "has no drive root"},
	} {
		t.Run(name, func(t *testing.T) {
			before := vm(test.has...).DeepCopy()
			got, _, err := test.edit(before)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(vm(test.has...), before); diff != "" {
				t.Errorf("the VM itself was changed: %s", diff)
			}
		})
	}
}

func TestWhatIsWaitedFor(t *testing.T) {
	data := v1alpha1.VirtualMachineDisk{Name: "data", DiskName: "data"}
	runs := func(has ...v1alpha1.GuestDisk) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
			vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostRunning, Disks: has}
		}
	}
	says := func(kind string, generation int64, message string) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Conditions = append(vm.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, ObservedGeneration: generation, Message: message})
		}
	}
	has := v1alpha1.GuestDisk{Name: "data", DiskName: "data"}
	for name, test := range map[string]struct {
		vm      *v1alpha1.VirtualMachine
		changes []func(*v1alpha1.VirtualMachine)
		want    verdict
		err     string
	}{
		"no guest":               {vm: vm(data), want: verdict{done: true, noGuest: true}},
		"it has it":              {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(has)}, want: verdict{done: true}},
		"it has it no more":      {vm: vm(), changes: []func(*v1alpha1.VirtualMachine){runs()}, want: verdict{done: true}},
		"it has it still":        {vm: vm(), changes: []func(*v1alpha1.VirtualMachine){runs(has)}, want: verdict{waiting: "waits for its host"}},
		"another is in it":       {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(v1alpha1.GuestDisk{Name: "data", DiskName: "old"})}, want: verdict{waiting: "waits for its host"}},
		"what its host says":     {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionDisksPending, 3, "why")}, want: verdict{waiting: "why"}},
		"what was said before":   {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionDisksPending, 2, "why")}, want: verdict{waiting: "waits for its host"}},
		"what the leader says":   {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionDisksPending, 3, "why"), says(v1alpha1.ConditionDiskClaimsPending, 3, "space")}, want: verdict{waiting: "space"}},
		"only a restart will do": {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionRestartRequired, 3, "spec.disks[data] (why) takes effect at the next start")}, err: "`virtctl restart web`"},
		"a disk of another host": {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(),
			says(v1alpha1.ConditionRestartRequired, 3, "spec.disks[data] (VirtualDisk data is on host b) takes effect at the next start, for which the VM is placed anew")}, err: "see first that one host can have all its disks"},
		"and of another VM": {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionDiskClaimsPending, 3, "db has it"),
			says(v1alpha1.ConditionRestartRequired, 3, "spec.disks[data] (VirtualDisk data is on host b) takes effect at the next start, for which the VM is placed anew")}, err: "db has it; the guest runs on without it"},
		"for another field": {vm: vm(data), changes: []func(*v1alpha1.VirtualMachine){runs(), says(v1alpha1.ConditionRestartRequired, 3, "spec.disks[data-2] takes effect at the next start")}, want: verdict{waiting: "waits for its host"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, change := range test.changes {
				change(test.vm)
			}
			got := judge(test.vm, "data")
			if (got.err == nil) != (test.err == "") || got.err != nil && !strings.Contains(got.err.Error(), test.err) {
				t.Fatalf("%v", got.err)
			}
			if got.err = nil; got != test.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
