package executor

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// Reasons of the events that have none among the reasons of the API.
const (
	eventStarted          = "Started"
	eventStopped          = "Stopped"
	eventPaused           = "Paused"
	eventSuspended        = "Suspended"
	eventResumed          = "Resumed"
	eventSaveDiscarded    = "SavedMemoryDiscarded"
	eventRejected         = "Rejected"
	eventQuarantined      = "Quarantined"
	eventLibvirtLost      = "LibvirtLost"
	eventLibvirtConnected = "LibvirtConnected"
	eventResized          = "Resized"
	eventOperationFailed  = "OperationFailed"
	eventGuestRebooted    = "GuestRebooted"
	eventGuestPanicked    = "GuestPanicked"
	eventWatchdogFired    = "WatchdogFired"
	eventDiskError        = "DiskError"
	eventFirmwareLost     = "FirmwareStateLost"
)

// eventsOfOperations are the reasons of events about operations that succeeded.
var eventsOfOperations = map[v1alpha1.OperationType]string{
	v1alpha1.OperationRestart:      "Restarted",
	v1alpha1.OperationReset:        "Reset",
	v1alpha1.OperationForceStop:    "ForceStopped",
	v1alpha1.OperationSendKey:      "KeysPressed",
	v1alpha1.OperationScreenshot:   "ScreenshotTaken",
	v1alpha1.OperationSetPassword:  "PasswordSet",
	v1alpha1.OperationInjectSSHKey: "SSHKeysInjected",
	v1alpha1.OperationMeasure:      "Measured",
	v1alpha1.OperationRestore:      "RestoredToSnapshot",
}

// maxNote is the longest note that an event takes, in bytes.
const maxNote = 1024

// teller tells people what happened, as Kubernetes events.
type teller struct {
	recorder events.EventRecorder
	node     string
}

// note is what the host says, no longer than an event takes: the API refuses a longer
// one whole.
func (t teller) note(message string) string { return plan.Shortened(t.node+": "+message, maxNote) }

func (t teller) started(vm *v1alpha1.VirtualMachine) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventStarted, "Start", "Started the guest on %s", t.node)
}

// restored is told when a guest goes on from its saved memory.
func (t teller) restored(vm *v1alpha1.VirtualMachine) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventResumed, "Start", "The guest goes on from its saved memory on %s", t.node)
}

// resumed is told when a paused guest was let go on.
func (t teller) resumed(vm *v1alpha1.VirtualMachine) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventResumed, "Resume", "Resumed the guest on %s", t.node)
}

// removed is told when the domain was undefined, with its saved memory if it had
// any.
func (t teller) removed(vm *v1alpha1.VirtualMachine, saved bool) {
	with := ""
	if saved {
		with = ", and with it the guest's saved memory"
	}
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventStopped, "Undefine", "Removed the domain from %s%s", t.node, with)
}

// firmwareLost is told when what was lost went with a VM's domain, and the VM lives
// on; "" for nothing.
func (t teller) firmwareLost(vm *v1alpha1.VirtualMachine, what string) {
	if what != "" {
		t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, eventFirmwareLost, "Undefine", "The VM gave up its place on %s, and with it %s", t.node, what)
	}
}

func (t teller) discarded(vm *v1alpha1.VirtualMachine) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventSaveDiscarded, "Stop", "Threw the guest's saved memory on %s away", t.node)
}

func (t teller) failed(vm *v1alpha1.VirtualMachine, f plan.Failure) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, f.Reason, "Start", "%s", t.note(f.Message))
}

// vcpus says a number of vCPUs.
func vcpus(n int64) string {
	if n == 1 {
		return "1 vCPU"
	}
	return fmt.Sprintf("%d vCPUs", n)
}

// resized is told when a running guest is about to be given another size.
func (t teller) resized(vm *v1alpha1.VirtualMachine, to v1alpha1.GuestSize) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventResized, "Resize", "The guest on %s is given %s and %s of memory", t.node, vcpus(int64(to.CPU)), capacity.Bytes(to.Memory))
}

// resizeFailed is told when it could not be.
func (t teller) resizeFailed(vm *v1alpha1.VirtualMachine, f plan.Failure) {
	t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, f.Reason, "Resize", "%s", t.note(f.Message))
}

// reported is told when the host's state of a VM, or its reason, has changed.
func (t teller) reported(vm *v1alpha1.VirtualMachine, r plan.Report) {
	switch r.State {
	case v1alpha1.HostStopped:
		switch {
		case r.Reason == v1alpha1.ReasonStarting:
		case r.Reason == v1alpha1.ReasonWaitingForDisks, r.Reason == v1alpha1.ReasonWaitingForNetworks:
			t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, r.Reason, "Start", "%s", t.note(r.Message))
		case r.Message != "":
			t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventStopped, "Stop", "%s", t.note(r.Message))
		default:
			t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventStopped, "Stop", "The guest is switched off on %s", t.node)
		}
	case v1alpha1.HostPaused:
		switch r.Reason {
		case "":
			t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventPaused, "Pause", "The guest stands still on %s", t.node)
		case v1alpha1.ReasonDiskFull:
			t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, r.Reason, "Pause", "%s", t.note(r.Message))
		}
	case v1alpha1.HostSuspended:
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventSuspended, "Suspend", "The guest's memory is saved on %s", t.node)
	case v1alpha1.HostEnded:
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, r.Reason, "End", "%s", t.note(r.Message))
	case v1alpha1.HostRejected:
		t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, eventRejected, "Accept", "%s", plan.Shortened(r.Reason+": "+r.Message, maxNote))
	}
}

// operated is told of an operation that is over.
func (t teller) operated(vm *v1alpha1.VirtualMachine, op *v1alpha1.VirtualMachineOperation, o plan.Outcome) {
	kind, reason := corev1.EventTypeNormal, eventsOfOperations[op.Spec.Type]
	note := fmt.Sprintf("%s, as operation %s asked: %s", t.node, op.Name, o.Message)
	if o.Reason != "" {
		kind, reason = corev1.EventTypeWarning, eventOperationFailed
		note = fmt.Sprintf("%s: %s, as operation %s asked, failed (%s): %s", t.node, op.Spec.Type, op.Name, o.Reason, o.Message)
	}
	t.recorder.Eventf(vm, op, kind, reason, string(op.Spec.Type), "%s", plan.Shortened(note, maxNote))
}

// happened tells what happened in a guest. Events of one reason and action are
// one series of the API, with the first one's words.
func (t teller) happened(vm *v1alpha1.VirtualMachine, e libvirt.Event) {
	switch e.Kind {
	case libvirt.EventRebooted:
		t.recorder.Eventf(vm, nil, corev1.EventTypeNormal, eventGuestRebooted, "Reboot", "The guest rebooted")
	case libvirt.EventCrashed:
		t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, eventGuestPanicked, "Panic", "The guest crashed: %s", cmp.Or(e.Reason, "it does not say how"))
	case libvirt.EventWatchdog:
		t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, eventWatchdogFired, e.Action,
			"The guest's watchdog fired, since the guest did not feed it in time; %s", watchdogWords.of(e.Action))
	case libvirt.EventDiskError:
		reason := plan.Printable(e.Reason, plan.MaxGuestWord)
		if reason == "enospc" {
			reason = "its host has no space left for it (enospc)"
		}
		t.recorder.Eventf(vm, nil, corev1.EventTypeWarning, eventDiskError, e.Action,
			"Disk %s could not be read or written: %s; %s", plan.Printable(strings.TrimPrefix(e.Device, convert.DiskAlias("")), plan.MaxGuestWord), cmp.Or(reason, "the host does not say why"), diskErrorWords.of(e.Action))
	}
}

// words are for the actions of package libvirt.
type words map[string]string

func (w words) of(action string) string {
	return cmp.Or(w[action], "what is done about it is not known")
}

// What is done about it.
var (
	watchdogWords = words{
		"None": "nothing is done about it", "Pause": "the guest is paused", "Reset": "the guest is reset",
		"PowerOff": "the guest is switched off", "ShutDown": "the guest is asked to shut down", "InjectNMI": "the guest is sent an NMI",
	}
	diskErrorWords = words{
		"None": "the guest is not told", "Pause": "the guest is paused", "Report": "the guest is told",
	}
)

func (t teller) quarantined(d ownership.Observed, reason string) {
	t.recorder.Eventf(t.hypervisor(), nil, corev1.EventTypeWarning, eventQuarantined, "Quarantine",
		"Domain %s (%s) of VirtualMachine %s/%s is left as it is: %s", d.Name, d.UUID, d.Ownership.Owner.Namespace, d.Ownership.Owner.Name, reason)
}

func (t teller) lost() {
	t.recorder.Eventf(t.hypervisor(), nil, corev1.EventTypeWarning, eventLibvirtLost, "Connect", "libvirt cannot be reached; guests run on")
}

func (t teller) connected() {
	t.recorder.Eventf(t.hypervisor(), nil, corev1.EventTypeNormal, eventLibvirtConnected, "Connect", "Connected to libvirt")
}

func (t teller) hypervisor() *v1alpha1.Hypervisor {
	return &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: t.node}}
}
