package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// record is what is written down of an attachment before it is begun, and struck out
// when nothing is left of it.
type record struct {
	Attachment Attachment `json:"attachment"`
	// Config is the network's as it was used, whatever has become of it since.
	Config json.RawMessage `json:"config"`
	// Inline says that it came with the attachment, and is not the host's own.
	Inline bool `json:"inline,omitempty"`
	// Settled is set once all of it is there. Without it, what there is may be half
	// of it and has to be removed.
	Settled bool `json:"settled"`
	// Result is what Settled ones have.
	Result Result    `json:"result,omitzero"`
	Since  time.Time `json:"since"`
}

// card is what others are told of the record.
func (r *record) card() Card {
	c := Card{Attachment: r.Attachment, Attached: r.Settled, Result: r.Result}
	if r.Inline {
		c.Config = r.Config
	}
	return c
}

// book is the records in a folder: DIR/UID/CARD.json.
type book struct{ dir string }

func (b book) folder(uid types.UID) string { return filepath.Join(b.dir, string(uid)) }
func (b book) file(uid types.UID, card string) string {
	return filepath.Join(b.folder(uid), card+".json")
}

// read is one record; nil when there is none.
func (b book) read(uid types.UID, card string) (*record, error) {
	data, err := os.ReadFile(b.file(uid, card))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of card %s: %w", key(uid, card), err)
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the record of card %s, %s: %w", key(uid, card), b.file(uid, card), err)
	}
	return r, nil
}

// write puts a record in place of what was there, all of it or none, and on the disk.
func (b book) write(r *record) error {
	a := r.Attachment
	fail := func(err error) error { return fmt.Errorf("writing the record of card %s: %w", key(a.UID, a.Card), err) }
	data, err := json.Marshal(r)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(b.folder(a.UID), 0o700); err != nil {
		return fail(err)
	}
	// The name has no second writer: a VM's cards are worked on one after the other.
	draft := b.file(a.UID, a.Card) + draftSuffix
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(draft, b.file(a.UID, a.Card)); err != nil {
		return fail(err)
	}
	return errors.Join(toDisk(b.folder(a.UID)), toDisk(b.dir))
}

// draftSuffix is of what a crash leaves of writing.
const draftSuffix = ".new"

// toDisk has a folder's entries on the disk.
func toDisk(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// strike removes a record, and the VM's folder with the last one.
func (b book) strike(uid types.UID, card string) error {
	for _, file := range []string{b.file(uid, card) + draftSuffix, b.file(uid, card)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("striking out the record of card %s: %w", key(uid, card), err)
		}
	}
	_ = os.Remove(b.folder(uid)) // not while there is another card
	return nil
}

// cards are the VM's that have a record.
func (b book) cards(uid types.UID) ([]string, error) {
	entries, err := os.ReadDir(b.folder(uid))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing the records of VM %s: %w", uid, err)
	}
	var cards []string
	for _, e := range entries {
		if card, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			cards = append(cards, card)
		}
	}
	return cards, nil
}

// vms are those that have a folder, be it with a draft alone.
func (b book) vms() ([]types.UID, error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing records: %w", err)
	}
	var uids []types.UID
	for _, e := range entries {
		if e.IsDir() && identifier.MatchString(e.Name()) {
			uids = append(uids, types.UID(e.Name()))
		}
	}
	return uids, nil
}

// tidy removes what a crash left of a VM that has no record.
func (b book) tidy(uid types.UID) error {
	cards, err := b.cards(uid)
	if err != nil || len(cards) > 0 {
		return err
	}
	return os.RemoveAll(b.folder(uid))
}
