package libvirt

import (
	"testing"

	lv "libvirt.org/go/libvirt"
)

// The messages are those of libvirt 9.0 about a file with nothing in it, one that
// was cut off, another file, and one of a newer libvirt.
func TestWhatASaveLeftThatWasNeverFinishedIsNoSavedMemory(t *testing.T) {
	for name, tc := range map[string]struct {
		err  lv.Error
		want bool
	}{
		"nothing was written yet": {lv.Error{Code: lv.ERR_OPERATION_FAILED, Message: "operation failed: failed to read qemu header"}, true},
		"the memory is missing":   {lv.Error{Code: lv.ERR_OPERATION_FAILED, Message: "operation failed: save image is incomplete"}, true},
		"it is something else":    {lv.Error{Code: lv.ERR_OPERATION_FAILED, Message: "operation failed: image magic is incorrect"}, false},
		"another libvirt's":       {lv.Error{Code: lv.ERR_OPERATION_FAILED, Message: "operation failed: image version is not supported (3 > 2)"}, false},
		"it cannot be opened":     {lv.Error{Code: lv.ERR_SYSTEM_ERROR, Message: "Failed to open file: failed to read qemu header"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cutShort(tc.err); got != tc.want {
				t.Errorf("taken for one that was cut short: %t", got)
			}
		})
	}
}
