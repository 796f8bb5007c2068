package libvirt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	lv "libvirt.org/go/libvirt"
)

// Guests whose monitor is stuck are asked to shut down, and nothing comes back.
func TestStuckGuestsHoldUpNeitherTheirDestroyNorOtherGuests(t *testing.T) {
	c := connect("test:///default")
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for e := range c.Events(ctx) {
		if e.Kind == EventConnected {
			break
		}
	}
	var guests []string
	for i := range 4 {
		id := fmt.Sprintf("0000000%d-1111-4111-8111-111111111111", i)
		doc := fmt.Sprintf("<domain type='test'><name>stuck%d</name><uuid>%s</uuid><memory unit='MiB'>8</memory><os><type>hvm</type></os></domain>", i, id)
		if err := errors.Join(c.define(ctx, doc, 0), c.Start(ctx, id)); err != nil {
			t.Fatal(err)
		}
		guests = append(guests, id)
	}
	unstick := make(chan struct{})
	defer close(unstick)
	for _, id := range guests[:3] {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := c.change(short, asking, id, "asking", func(*lv.Domain) error { <-unstick; return nil })
		cancel()
		if !errors.Is(err, ErrTimeout) {
			t.Fatalf("asking: %v", err)
		}
	}
	if err := c.Shutdown(ctx, guests[0]); !errors.Is(err, ErrTimeout) {
		t.Errorf("asking again beside a stuck request: %v", err)
	}
	// Nor an abort, which is to end what is stuck.
	for _, id := range guests {
		if err := c.AbortJob(ctx, id); err != nil {
			t.Errorf("aborting: %v", err)
		}
	}
	for _, id := range guests {
		if err := errors.Join(c.Destroy(ctx, id), c.Start(ctx, id), c.Destroy(ctx, id), c.Undefine(ctx, id)); err != nil {
			t.Error(err)
		}
	}
}

func TestAChangeIsRefusedBesideThoseItWouldWaitForAndADestroyBesideADestroyOnly(t *testing.T) {
	for name, c := range map[string]struct {
		first, second changeKind
		refused       bool
	}{
		"a destroy beside a request":      {asking, destroying, false},
		"a destroy beside a start":        {altering, destroying, false},
		"a destroy beside a destroy":      {destroying, destroying, true},
		"a start beside a destroy":        {destroying, altering, true},
		"a start beside a start":          {altering, altering, true},
		"a request beside a request":      {asking, asking, true},
		"an undefine beside a request":    {asking, altering, false},
		"a request in spite of a destroy": {destroying, asking, true},
		"a pinning beside a request":      {asking, pinning, true},
		"a request beside a pinning":      {pinning, asking, false},
		"a pinning beside a start":        {altering, pinning, false},
		"a destroy beside a pinning":      {pinning, destroying, false},
		"a destroy beside a save":         {saving, destroying, false},
		"an abort beside a save":          {saving, aborting, false},
		"a save beside a save":            {saving, saving, true},
		"an abort beside an abort":        {aborting, aborting, true},
		"a request beside a save":         {saving, asking, true},
		"a pinning beside a save":         {saving, pinning, true},
		"a save beside a destroy":         {destroying, saving, true},
	} {
		t.Run(name, func(t *testing.T) {
			var b busy
			if err := b.begin(c.first, "x", "first"); err != nil {
				t.Fatal(err)
			}
			if err := b.begin(c.second, "x", "second"); errors.Is(err, ErrTimeout) != c.refused {
				t.Errorf("got %v", err)
			}
			b.end(c.first, "x")
			b.end(c.second, "x")
			if err := b.begin(c.second, "x", "again"); err != nil {
				t.Errorf("after both ended: %v", err)
			}
		})
	}
}
