package libvirt

import (
	"errors"
	"fmt"
	"strings"

	lv "libvirt.org/go/libvirt"
)

// What can go wrong with storage. ErrNoPool and ErrNoVolume are
// ErrMissingResource too.
var (
	// ErrNoPool: the host has no such pool, or it is not active.
	ErrNoPool = fmt.Errorf("no such storage pool: %w", ErrMissingResource)
	// ErrNoVolume: the pool has no such volume, or no disk is that volume.
	ErrNoVolume = fmt.Errorf("no such volume: %w", ErrMissingResource)
	// ErrVolumeExists: a volume of that name is there already.
	ErrVolumeExists = errors.New("a volume of that name is there already")
	// ErrNoSpace: the pool is full.
	ErrNoSpace = errors.New("the storage pool is full")
	// ErrPoolBusy: libvirt is making or changing a volume there; try again later.
	ErrPoolBusy = errors.New("libvirt is at work on the storage pool")
)

var storageKinds = map[lv.ErrorNumber]error{
	lv.ERR_NO_STORAGE_POOL:   ErrNoPool,
	lv.ERR_NO_STORAGE_VOL:    ErrNoVolume,
	lv.ERR_STORAGE_VOL_EXIST: ErrVolumeExists,
}

// What libvirt and the programs that it calls say in words alone. Source:
// libvirt 9.0.0's src/storage/storage_driver.c, strerror(3), lvcreate(8).
var (
	noSpaceWords  = []string{"No space left on device", "insufficient free space", "Disk quota exceeded", "Not enough free space"}
	busyWords     = []string{"has asynchronous jobs running", "is still being allocated", "is still in use", "is still being built"}
	existsWords   = []string{"storage vol already exists"}
	inactiveWords = []string{"is not active", "storage pool is not active"}
)

// explainStorage turns an error of the binding about storage into an *Error.
func explainStorage(doing string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	var e lv.Error
	if !errors.As(err, &e) {
		return err // whoever asks says what was being done
	}
	out := &Error{Doing: doing, Code: int(e.Code), Message: e.Message}
	kind, known := storageKinds[e.Code]
	switch {
	case known:
		out.kind = kind
	case contains(e.Message, existsWords):
		out.kind = ErrVolumeExists
	case contains(e.Message, noSpaceWords):
		out.kind = ErrNoSpace
	case contains(e.Message, busyWords):
		out.kind = ErrPoolBusy
	case e.Code == lv.ERR_OPERATION_INVALID && contains(e.Message, inactiveWords) && strings.Contains(e.Message, "pool"):
		out.kind = ErrNoPool
	default:
		return explain(doing, err)
	}
	return out
}

func contains(message string, any []string) bool {
	for _, words := range any {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
