package executor

import (
	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hotplug"
	"domus.dev/domus/pkg/executor/plan"
)

// Reasons of events about a running guest's disks.
const (
	eventPlugged       = "DiskPlugged"
	eventMediumChanged = "MediumChanged"
	eventDiskGivenBack = "DiskGivenBack"
)

// plugged is told when a disk was plugged in or a medium changed.
func (t teller) plugged(vm *v1alpha1.VirtualMachine, c hotplug.Change) {
	switch {
	case c.Action == hotplug.Attach:
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventPlugged, "Plug", "Plugged %s into the guest on %s", plan.DiskWords(c), t.node)
	case c.DiskName == "":
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventMediumChanged, "Plug", "Emptied the tray of %s in the guest on %s", c.Name, t.node)
	default:
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventMediumChanged, "Plug", "Put VirtualDisk %s into the drive %s of the guest on %s", c.DiskName, c.Name, t.node)
	}
}

func (t teller) plugFailed(vm *v1alpha1.VirtualMachine, f plan.Failure) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, f.Reason, "Plug", "%s: %s", t.node, plan.Shortened(f.Message, maxNote))
}

// gaveBack is told when the VM has a disk no more.
func (t teller) gaveBack(vm *v1alpha1.VirtualMachine, disk string) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventDiskGivenBack, "GiveBack", "VirtualDisk %s is nobody's now", disk)
}
