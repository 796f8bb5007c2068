package libvirt

import (
	"strings"

	lv "libvirt.org/go/libvirt"
)

var shutOffReasons = map[lv.DomainShutoffReason]string{
	lv.DOMAIN_SHUTOFF_UNKNOWN:       ReasonNotStarted,
	lv.DOMAIN_SHUTOFF_SHUTDOWN:      ReasonShutDown,
	lv.DOMAIN_SHUTOFF_DESTROYED:     ReasonDestroyed,
	lv.DOMAIN_SHUTOFF_CRASHED:       ReasonCrashed,
	lv.DOMAIN_SHUTOFF_MIGRATED:      "migrated",
	lv.DOMAIN_SHUTOFF_SAVED:         ReasonSaved,
	lv.DOMAIN_SHUTOFF_FAILED:        ReasonFailed,
	lv.DOMAIN_SHUTOFF_FROM_SNAPSHOT: "reverted to a snapshot",
	lv.DOMAIN_SHUTOFF_DAEMON:        ReasonLostBeside,
}

var pauseReasons = map[lv.DomainPausedReason]string{
	lv.DOMAIN_PAUSED_UNKNOWN:         ReasonUnknown,
	lv.DOMAIN_PAUSED_USER:            ReasonPausedByUser,
	lv.DOMAIN_PAUSED_SAVE:            ReasonSaving,
	lv.DOMAIN_PAUSED_DUMP:            ReasonDumping,
	lv.DOMAIN_PAUSED_IOERROR:         ReasonDiskError,
	lv.DOMAIN_PAUSED_WATCHDOG:        ReasonWatchdog,
	lv.DOMAIN_PAUSED_FROM_SNAPSHOT:   ReasonReverted,
	lv.DOMAIN_PAUSED_CRASHED:         ReasonCrashed,
	lv.DOMAIN_PAUSED_API_ERROR:       ReasonResumeFailed,
	lv.DOMAIN_PAUSED_MIGRATION:       ReasonBetween,
	lv.DOMAIN_PAUSED_POSTCOPY:        ReasonBetween,
	lv.DOMAIN_PAUSED_SNAPSHOT:        ReasonBetween,
	lv.DOMAIN_PAUSED_SHUTTING_DOWN:   ReasonBetween,
	lv.DOMAIN_PAUSED_STARTING_UP:     ReasonStarting,
	lv.DOMAIN_PAUSED_POSTCOPY_FAILED: "a migration failed half-way",
}

// stateOf turns libvirt's state and its reason, whose meaning depends on the
// state, into ours.
func stateOf(state lv.DomainState, reason int) (State, string) {
	switch state {
	case lv.DOMAIN_RUNNING, lv.DOMAIN_BLOCKED:
		return StateRunning, ""
	case lv.DOMAIN_PAUSED:
		return StatePaused, pauseReasons[lv.DomainPausedReason(reason)]
	case lv.DOMAIN_PMSUSPENDED:
		return StatePaused, ReasonSleeps
	case lv.DOMAIN_SHUTDOWN:
		return StateShuttingDown, ""
	case lv.DOMAIN_SHUTOFF:
		return StateShutOff, shutOffReasons[lv.DomainShutoffReason(reason)]
	case lv.DOMAIN_CRASHED:
		return StateCrashed, ""
	}
	return StateUnknown, ""
}

// unitBytes is the size of a unit of memory in libvirt's documents, where no
// unit means KiB. Source: libvirt's virScaleInteger.
func unitBytes(unit string) int64 {
	if unit == "" {
		return 1 << 10
	}
	if unit == "b" || unit == "bytes" || unit == "B" {
		return 1
	}
	power := strings.IndexByte("KMGTPE", unit[0]&^0x20) + 1
	base := int64(1024)
	if len(unit) == 2 { // KB, MB: powers of ten
		base = 1000
	}
	size := int64(1)
	for range power {
		size *= base
	}
	return size
}
