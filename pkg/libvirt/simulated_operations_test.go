package libvirt_test

import (
	"bytes"
	"errors"
	"image/png"
	"testing"
	"time"

	"domus.dev/domus/pkg/libvirt"
)

// TestOperationsOnASimulatedHost holds what a simulated host does, and that it
// does not pretend the rest.
func TestOperationsOnASimulatedHost(t *testing.T) {
	host, _, ctx := simulate(t)
	if err := host.Define(ctx, guest); err != nil {
		t.Fatal(err)
	}
	ask := map[string]func() error{
		"Reset":   func() error { return host.Reset(ctx, guestUUID) },
		"SendKey": func() error { return host.SendKey(ctx, guestUUID, []string{"KEY_LEFTCTRL", "KEY_C"}, time.Second) },
		"SendKey of no key": func() error {
			return host.SendKey(ctx, guestUUID, []string{"KEY_LEFTCTRL", "KEY_ANY"}, time.Second)
		},
		"SetPassword":   func() error { return host.SetPassword(ctx, guestUUID, "root", "$6$salt$hash") },
		"AuthorizeKeys": func() error { return host.AuthorizeKeys(ctx, guestUUID, "root", []string{"ssh-ed25519 AAAA"}) },
		"Counters":      func() error { _, err := host.Counters(ctx, guestUUID); return err },
		"of a domain that is not there": func() error {
			return host.Reset(ctx, "22222222-2222-4222-8222-222222222222")
		},
	}
	hold := func(want map[string]error) {
		t.Helper()
		for name, err := range want {
			if got := ask[name](); !errors.Is(got, err) {
				t.Errorf("%s: %v, want %v", name, got, err)
			}
		}
	}
	hold(map[string]error{
		"Reset": libvirt.ErrWrongState, "SendKey": libvirt.ErrWrongState, "of a domain that is not there": libvirt.ErrNotFound,
	})
	if err := host.Start(ctx, guestUUID); err != nil {
		t.Fatal(err)
	}
	hold(map[string]error{
		"Reset": nil, "SendKey": nil, "SendKey of no key": libvirt.ErrUnknownKey,
		"SetPassword": libvirt.ErrAgentUnavailable, "AuthorizeKeys": libvirt.ErrAgentUnavailable, "Counters": libvirt.ErrUnsupported,
	})
	picture, err := host.Screenshot(ctx, guestUUID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(picture.Data)); err != nil || picture.MIME != "image/png" {
		t.Errorf("a picture of type %s and %d bytes: %v", picture.MIME, len(picture.Data), err)
	}
}
