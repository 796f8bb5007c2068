package cni

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBook(t *testing.T) {
	b := book{dir: filepath.Join(t.TempDir(), "cards")}
	if r, err := b.read("uid", "net0"); r != nil || err != nil {
		t.Fatalf("nothing was written: %v, %v", r, err)
	}
	want := &record{
		Attachment: Attachment{Namespace: "team", Name: "web", UID: "uid", Card: "net0", Network: "pods"},
		Config:     json.RawMessage(`{"name":"pods"}`), Settled: true,
		Result: Result{Tap: "dt0", Addresses: prefixes("10.1.2.3/24"), Routes: []Route{to("10.1.2.1/32", ""), to("0.0.0.0/0", "10.1.2.1")}},
		Since:  time.Unix(1, 0).UTC(),
	}
	second := *want
	second.Attachment.Card = "net1"
	for _, r := range []*record{want, &second} {
		if err := b.write(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.read("uid", "net0")
	if diff := cmp.Diff(want, got, compareAddr, comparePrefix, cmp.AllowUnexported(record{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if cards, err := b.cards("uid"); err != nil || !cmp.Equal(cards, []string{"net0", "net1"}) {
		t.Errorf("cards are %v: %v", cards, err)
	}
	// What a crash leaves of writing is no record.
	if err := os.WriteFile(b.file("uid", "net1")+draftSuffix, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, card := range []string{"net0", "net1", "net1"} {
		if err := b.strike("uid", card); err != nil {
			t.Errorf("striking out %s: %v", card, err)
		}
	}
	if left, _ := os.ReadDir(b.dir); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// A record that cannot be read is an error that says where it is, and not no record:
// what it is of would be lost sight of.
func TestBookSpoilt(t *testing.T) {
	b := book{dir: t.TempDir()}
	if err := os.MkdirAll(b.folder("uid"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file("uid", "net0"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := b.read("uid", "net0"); err == nil {
		t.Errorf("read %+v", r)
	}
}

func TestTurns(t *testing.T) {
	var turns turns
	done, err := turns.take(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := turns.take(context.Background(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := turns.take(ctx, "a"); err == nil {
		t.Error("two have a turn at once")
	}
	taken := make(chan struct{})
	go func() {
		again, err := turns.take(context.Background(), "a")
		if err == nil {
			again()
		}
		close(taken)
	}()
	done()
	<-taken
}
