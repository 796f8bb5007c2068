package plan

import (
	"errors"
	"fmt"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestAPowerFailureSaysOnceWhatFailedAndWhatEndsIt(t *testing.T) {
	const ends = "`virtctl stop --force -n default guest` ends a guest that hangs"
	vm := vmtest.Placed()
	uuid := vm.DomainUUID()
	for name, test := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"libvirt is still at it": {
			v1alpha1.ReasonPauseFailed, fmt.Errorf("pausing domain %s: %w: still pausing domain %s", uuid, libvirt.ErrTimeout, uuid),
			"libvirt did not answer in time; " + ends,
		},
		"libvirt says why": {
			v1alpha1.ReasonPauseFailed, fmt.Errorf("once more: %w", &libvirt.Error{Doing: "pausing domain " + uuid, Code: 1, Message: "internal error: domain " + uuid + " is migrating"}),
			"internal error: the guest is migrating; set spec.powerState back to have it given up",
		},
		"a guest that stands still for good": {
			v1alpha1.ReasonResumeFailed, errors.New("the disk is gone"), "the disk is gone; " + ends,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := PowerFailure(test.reason, "doing it", test.err, vm)
			if want := "doing it failed and is tried again: " + test.want; got.Message != want || got.Reason != test.reason {
				t.Errorf("got %s: %s, want %s", got.Reason, got.Message, want)
			}
		})
	}
}
