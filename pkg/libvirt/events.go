package libvirt

import (
	"cmp"

	lv "libvirt.org/go/libvirt"
)

var eventKinds = map[lv.DomainEventType]EventKind{
	lv.DOMAIN_EVENT_DEFINED:     EventDefined,
	lv.DOMAIN_EVENT_UNDEFINED:   EventUndefined,
	lv.DOMAIN_EVENT_STARTED:     EventStarted,
	lv.DOMAIN_EVENT_SUSPENDED:   EventPaused,
	lv.DOMAIN_EVENT_PMSUSPENDED: EventPaused,
	lv.DOMAIN_EVENT_RESUMED:     EventResumed,
	lv.DOMAIN_EVENT_STOPPED:     EventStopped,
	lv.DOMAIN_EVENT_SHUTDOWN:    EventShutdown,
	lv.DOMAIN_EVENT_CRASHED:     EventCrashed,
}

var stopReasons = map[lv.DomainEventStoppedDetailType]string{
	lv.DOMAIN_EVENT_STOPPED_SHUTDOWN:      ReasonShutDown,
	lv.DOMAIN_EVENT_STOPPED_DESTROYED:     ReasonDestroyed,
	lv.DOMAIN_EVENT_STOPPED_CRASHED:       ReasonCrashed,
	lv.DOMAIN_EVENT_STOPPED_MIGRATED:      "migrated",
	lv.DOMAIN_EVENT_STOPPED_SAVED:         ReasonSaved,
	lv.DOMAIN_EVENT_STOPPED_FAILED:        ReasonFailed,
	lv.DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: "reverted to a snapshot",
}

// lifecycle turns libvirt's event into ours.
func lifecycle(e *lv.DomainEventLifecycle) Event {
	out := Event{Kind: EventOther}
	if kind, known := eventKinds[e.Event]; known {
		out.Kind = kind
	}
	switch out.Kind {
	case EventStopped:
		out.Reason = stopReasons[lv.DomainEventStoppedDetailType(e.Detail)]
	case EventCrashed:
		out.Reason = crashReasons[lv.DomainEventCrashedDetailType(e.Detail)]
	}
	return out
}

var crashReasons = map[lv.DomainEventCrashedDetailType]string{
	lv.DOMAIN_EVENT_CRASHED_PANICKED:    "its kernel panicked",
	lv.DOMAIN_EVENT_CRASHED_CRASHLOADED: "its kernel panicked, and its crash kernel runs",
}

var watchdogActions = map[lv.DomainEventWatchdogAction]string{
	lv.DOMAIN_EVENT_WATCHDOG_NONE:      "None",
	lv.DOMAIN_EVENT_WATCHDOG_PAUSE:     "Pause",
	lv.DOMAIN_EVENT_WATCHDOG_RESET:     "Reset",
	lv.DOMAIN_EVENT_WATCHDOG_POWEROFF:  "PowerOff",
	lv.DOMAIN_EVENT_WATCHDOG_SHUTDOWN:  "ShutDown",
	lv.DOMAIN_EVENT_WATCHDOG_DEBUG:     "None",
	lv.DOMAIN_EVENT_WATCHDOG_INJECTNMI: "InjectNMI",
}

var diskErrorActions = map[lv.DomainEventIOErrorAction]string{
	lv.DOMAIN_EVENT_IO_ERROR_NONE:   "None",
	lv.DOMAIN_EVENT_IO_ERROR_PAUSE:  "Pause",
	lv.DOMAIN_EVENT_IO_ERROR_REPORT: "Report",
}

// unknownAction stands for what a later libvirt may do.
const unknownAction = "Unknown"

func watchdog(e *lv.DomainEventWatchdog) Event {
	return Event{Kind: EventWatchdog, Action: cmp.Or(watchdogActions[e.Action], unknownAction)}
}

// diskError leaves out the path of the image: it is the host's.
func diskError(e *lv.DomainEventIOErrorReason) Event {
	return Event{Kind: EventDiskError, Action: cmp.Or(diskErrorActions[e.Action], unknownAction), Device: e.DevAlias, Reason: e.Reason}
}
