package libvirt

import (
	"errors"
	"testing"

	lv "libvirt.org/go/libvirt"
)

// libvirt says in words alone that there was no room for a guest's memory.
func TestNoRoomForMemory(t *testing.T) {
	said := lv.Error{Code: lv.ERR_OPERATION_FAILED, Message: "operation failed: libvirt_iohelper: failure with /pool/s.memory: Unable to write /pool/s.memory: No space left on device"}
	if err := explainStorage("writing the memory", said); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want %v", err, ErrNoSpace)
	}
}
