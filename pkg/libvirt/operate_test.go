package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestAnOperationThatHangsHoldsUpNobodyElse: what a guest that hangs was asked
// must not keep others from being started, shut down or destroyed, nor itself
// from being destroyed.
func TestAnOperationThatHangsHoldsUpNobodyElse(t *testing.T) {
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	s := newSlots()
	for range maxOperating {
		if s.take(short, operating) == nil {
			t.Fatal("no slot for an operation")
		}
	}
	if s.take(short, operating) != nil {
		t.Error("more operations at once than there are slots for them")
	}
	for _, kind := range []changeKind{altering, asking, destroying, pinning} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if giveBack := s.take(ctx, kind); giveBack == nil {
			t.Errorf("no slot for %d beside operations", kind)
		} else {
			giveBack()
		}
		cancel()
	}

	var b busy
	if err := b.begin(operating, "a", "resetting domain a"); err != nil {
		t.Fatal(err)
	}
	if err := b.begin(operating, "a", "pressing keys of domain a"); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrTimeout) ||
		err.Error() != "pressing keys of domain a: libvirt did not answer in time: still resetting domain a" {
		t.Errorf("a second operation: %v", err)
	}
	for _, kind := range []changeKind{asking, altering, destroying} {
		if err := b.begin(kind, "a", "x"); err != nil {
			t.Errorf("%d beside an operation: %v", kind, err)
		}
		b.end(kind, "a")
	}
	for _, kind := range []changeKind{asking, destroying} {
		if err := b.begin(kind, "b", "shutting down domain b"); err != nil {
			t.Fatal(err)
		}
		if err := b.begin(operating, "b", "resetting domain b"); !errors.Is(err, ErrTimeout) {
			t.Errorf("an operation beside %d: %v", kind, err)
		}
		b.end(kind, "b")
	}
}
