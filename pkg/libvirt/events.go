package libvirt

import lv "libvirt.org/go/libvirt"

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
func lifecycle(name, uuid string, e *lv.DomainEventLifecycle) Event {
	out := Event{Kind: EventOther, Name: name, UUID: uuid}
	if kind, known := eventKinds[e.Event]; known {
		out.Kind = kind
	}
	if out.Kind == EventStopped {
		out.Reason = stopReasons[lv.DomainEventStoppedDetailType(e.Detail)]
	}
	return out
}
