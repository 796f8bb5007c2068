package libvirt

import (
	"errors"
	"testing"

	lv "libvirt.org/go/libvirt"
)

func TestAGuestThatMustBeResetIsTold(t *testing.T) {
	// As libvirt 9.0 says it of QEMU 7.2.
	refusal := lv.Error{Code: lv.ERR_INTERNAL_ERROR, Domain: lv.FROM_QEMU, Message: "internal error: unable to execute QEMU command 'cont': Resetting the Virtual Machine is required"}
	err := explain("resuming domain x", needsReset("resuming domain x", refusal))
	var own *Error
	if !errors.Is(err, ErrNeedsReset) || !errors.As(err, &own) || own.Message != refusal.Message {
		t.Errorf("%v is not told", err)
	}
	for _, other := range []error{nil, lv.Error{Code: lv.ERR_INTERNAL_ERROR, Message: "Migration is not finalized yet"}, errors.New("other")} {
		if err := needsReset("resuming domain x", other); !errors.Is(err, other) || errors.Is(err, ErrNeedsReset) {
			t.Errorf("%v became %v", other, err)
		}
	}
}
