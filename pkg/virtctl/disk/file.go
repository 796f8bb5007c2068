package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/virtctl/failure"
)

// file is what a disk is exported into. Until it is whole it is FILE.part, beside
// which FILE.part.json says of what it is a part.
type file struct {
	path, part, note string
	to               *os.File
	// length bytes are there, of total, of the content that is called version.
	length, total int64
	version       string
}

// note is what FILE.part.json says.
type note struct {
	Version string `json:"version"`
	Total   int64  `json:"total"`
}

func newFile(path string) *file {
	return &file{path: path, part: path + ".part", note: path + ".part.json"}
}

// open opens the part, new or as it was left. Only the user may read it: a disk
// may hold anything. Two commands at once are kept apart.
func (f *file) open() error {
	to, err := os.OpenFile(f.part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the file: %w", err)
	}
	f.to = to
	if err := lock(to); err != nil {
		_ = to.Close()
		return failure.Refused("%s is being written by another command: wait for it, or name another file", f.part)
	}
	said := note{}
	data, err := os.ReadFile(f.note)
	if err == nil {
		err = json.Unmarshal(data, &said)
	}
	if err != nil || said.Version == "" {
		return nil // of what it is a part nobody knows
	}
	info, err := to.Stat()
	if err != nil {
		return err
	}
	f.length, f.total, f.version = info.Size(), said.Total, said.Version
	_, err = to.Seek(0, io.SeekEnd)
	return err
}

// close leaves a part that has something, and one of nothing not.
func (f *file) close() error {
	if f.to == nil {
		return nil
	}
	err := f.to.Close()
	f.to = nil
	if f.length == 0 {
		_ = os.Remove(f.part)
		_ = os.Remove(f.note)
	}
	return err
}

// begin forgets what is there, for content of so many bytes that is called version;
// one without a name cannot be gone on with.
func (f *file) begin(version string, total int64) error {
	if total < 0 {
		return errors.New("the host does not say how long the disk is")
	}
	f.length, f.total, f.version = 0, total, version
	if err := f.to.Truncate(0); err != nil {
		return err
	}
	if _, err := f.to.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := json.Marshal(note{Version: version, Total: total})
	if err != nil {
		return err
	}
	return os.WriteFile(f.note, data, 0o600)
}

// resume goes on with what is there.
func (f *file) resume(contentRange string) error {
	first, all, err := parseRange(contentRange)
	if err != nil {
		return err
	}
	if first != f.length || all != f.total {
		return fmt.Errorf("the host goes on at byte %d of %d, and %s has %d of %d: remove it", first, all, f.part, f.length, f.total)
	}
	return nil
}

// write adds to what is there; zeros that come together become a hole.
func (f *file) write(p []byte) error {
	var err error
	if transfer.Zero(p) {
		_, err = f.to.Seek(int64(len(p)), io.SeekCurrent)
	} else {
		_, err = f.to.Write(p)
	}
	f.length += int64(len(p))
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.part, err)
	}
	return nil
}

// finish gives the whole file its name, and returns its SHA-256.
func (f *file) finish(ctx context.Context) (string, error) {
	if err := f.to.Truncate(f.length); err != nil { // which may end with a hole
		return "", fmt.Errorf("writing %s: %w", f.part, err)
	}
	if err := f.to.Sync(); err != nil {
		return "", fmt.Errorf("writing %s: %w", f.part, err)
	}
	if _, err := f.to.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, contextReader{ctx, f.to}); err != nil {
		return "", fmt.Errorf("reading %s: %w", f.part, err)
	}
	if err := os.Rename(f.part, f.path); err != nil {
		return "", err
	}
	if err := os.Remove(f.note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
