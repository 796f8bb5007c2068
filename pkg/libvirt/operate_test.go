package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"

	lv "libvirt.org/go/libvirt"
)

// domainOf is a domain as libvirt describes it.
type domainOf struct {
	active bool
	doc    string
}

func (d domainOf) IsActive() (bool, error)                      { return d.active, nil }
func (d domainOf) GetXMLDesc(lv.DomainXMLFlags) (string, error) { return d.doc, nil }

func TestADomainWithoutAScreen(t *testing.T) {
	const none, one = "<domain type='qemu'><devices/></domain>", "<domain type='qemu'><devices><video><model type='vga'/></video></devices></domain>"
	invalid := lv.Error{Code: lv.ERR_OPERATION_INVALID, Message: "no screens to take screenshot from"}
	for name, test := range map[string]struct {
		err    error
		domain domainOf
		want   error
	}{
		"it has none":            {invalid, domainOf{true, none}, ErrNoScreen},
		"it has one":             {invalid, domainOf{true, one}, ErrWrongState},
		"it does not run":        {invalid, domainOf{false, none}, ErrWrongState},
		"another error":          {lv.Error{Code: lv.ERR_NO_DOMAIN}, domainOf{true, none}, ErrNotFound},
		"a document that is bad": {invalid, domainOf{true, "<"}, ErrWrongState},
	} {
		if err := explain("x", withoutScreen("x", test.err, test.domain)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

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
