package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/cloudinit"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// seedSuffix follows the UID of the VirtualMachine in the name of a seed, and
	// noteSuffix in that of the note beside it.
	seedSuffix = ".iso"
	noteSuffix = ".json"
	// seedStaging is the folder in which seeds are being written.
	seedStaging = ".writing"
	// Who is not QEMU finds no seed and reads none: QEMU's group may pass through
	// the folder, and QEMU's user may read the file. What is being written, and
	// what is noted of it, is for ourselves alone.
	seedFolderMode  = 0o710
	seedFileMode    = 0o400
	seedStagingMode = 0o700
)

// seedNote is what is known of a seed.
type seedNote struct {
	// Content is the seed's digest, and Medium that of the medium's bytes.
	Content string `json:"content"`
	Medium  string `json:"medium"`
	// Size is the medium's, in bytes: one that has grown is not read.
	Size int64 `json:"size"`
}

// seedStore keeps what guests' cloud-init reads, a file for each VirtualMachine, in
// a folder of the host's own. It holds secrets: files are named by UIDs, which
// nobody chooses, as users do a domain's UUID.
//
// A medium is never read again for what it has: QEMU's user, who owns it, could
// have put anything there. A note beside it, which only we can read and write, says
// what it is.
type seedStore struct{ dir string }

// path is where the VM's seed is, or would be.
func (s seedStore) path(uid types.UID) string { return filepath.Join(s.dir, string(uid)+seedSuffix) }

// note is where what is known of the VM's seed is, or would be.
func (s seedStore) note(uid types.UID) string { return filepath.Join(s.dir, string(uid)+noteSuffix) }

// write puts the seed in place of another: whatever happens, one of the two is
// there as a whole. The same one is left as it is. user is QEMU's; nil where that is
// our own.
func (s seedStore) write(uid types.UID, seed cloudinit.Seed, user *libvirt.User) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the seed of VirtualMachine %s: %w", uid, err)
		}
	}()
	if s.dir == "" {
		return errors.New("there is no folder for it: set seedDir in vm-executor's configuration")
	}
	if err := s.prepare(user); err != nil {
		return err
	}
	content := seed.Digest()
	if s.has(uid, content, user) {
		return nil
	}
	work, err := s.stage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	staging := filepath.Join(work, "files")
	if err := os.Mkdir(staging, seedStagingMode); err != nil {
		return err
	}
	medium, err := os.OpenFile(filepath.Join(work, "medium"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = medium.Close() }() // again, unless it was not
	if err := seed.WriteMedium(medium, staging); err != nil {
		return err
	}
	sum, size, err := sumOf(medium)
	if err != nil {
		return err
	}
	note, err := json.Marshal(seedNote{Content: content, Medium: sum, Size: size})
	if err != nil {
		return err
	}
	if owner(user) != os.Geteuid() {
		if err := medium.Chown(user.UID, user.GID); err != nil {
			return err
		}
	}
	if err := errors.Join(medium.Chmod(seedFileMode), medium.Sync(), medium.Close()); err != nil {
		return err
	}
	noted := filepath.Join(work, "note")
	if err := writeSynced(noted, note); err != nil {
		return err
	}
	if err := os.Rename(medium.Name(), s.path(uid)); err != nil {
		return err
	}
	// A crash here leaves a note of another medium, so that the next start writes
	// both again: no guest is started in between.
	if err := os.Rename(noted, s.note(uid)); err != nil {
		return err
	}
	return syncFolder(s.dir)
}

// has says whether the VM's medium is whole, has this content and is QEMU's.
func (s seedStore) has(uid types.UID, content string, user *libvirt.User) bool {
	note, err := s.noted(uid)
	if err != nil || note.Content != content {
		return false
	}
	medium, err := os.OpenFile(s.path(uid), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer func() { _ = medium.Close() }()
	info, err := medium.Stat()
	if err != nil || info.Mode() != seedFileMode || info.Size() != note.Size || int(info.Sys().(*syscall.Stat_t).Uid) != owner(user) {
		return false
	}
	sum, _, err := sumOf(medium)
	return err == nil && sum == note.Medium
}

// owner is who shall own media.
func owner(user *libvirt.User) int {
	if user == nil {
		return os.Geteuid()
	}
	return user.UID
}

// stage makes a folder to write a seed in. It refuses one that would be elsewhere:
// secrets would be staged there, and no rename leads from there to here.
func (s seedStore) stage() (string, error) {
	dir := filepath.Join(s.dir, seedStaging)
	if err := os.Mkdir(dir, seedStagingMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	here, err := os.Lstat(s.dir)
	if err != nil {
		return "", err
	}
	there, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	is := there.Sys().(*syscall.Stat_t)
	if !there.IsDir() || is.Dev != here.Sys().(*syscall.Stat_t).Dev || int(is.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s must be a folder of vm-executor's own on the file system of %s, for secrets are staged in it: remove it, and it is made again", dir, s.dir)
	}
	if err := os.Chmod(dir, seedStagingMode); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "") // as only we can enter it
}

// sumOf is the digest of a file's bytes, and how many there are.
func sumOf(file *os.File) (sum string, size int64, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	h := sha256.New()
	if size, err = io.Copy(h, file); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// writeSynced writes a file that is there after a crash, for us alone.
func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// prepare makes the folder as it has to be, also where it is there already.
func (s seedStore) prepare(user *libvirt.User) error {
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, seedFolderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if user != nil && user.UID != os.Geteuid() {
		if err := os.Chown(s.dir, -1, user.GID); err != nil {
			return err
		}
	}
	return os.Chmod(s.dir, seedFolderMode)
}

// syncFolder has a rename last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// told is the digest of the seed that the VM's guest was started with; "" when
// that is not known.
func (s seedStore) told(uid types.UID) (string, error) {
	note, err := s.noted(uid)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return note.Content, err
}

// noted reads what is known of the VM's seed.
func (s seedStore) noted(uid types.UID) (note seedNote, err error) {
	data, err := os.ReadFile(s.note(uid))
	if err == nil {
		err = json.Unmarshal(data, &note)
	}
	if err != nil {
		return seedNote{}, fmt.Errorf("reading what is noted of the seed of VirtualMachine %s: %w", uid, err)
	}
	return note, nil
}

// remove removes the seed, if there is one.
func (s seedStore) remove(uid types.UID) error {
	if s.dir == "" {
		return nil
	}
	for _, path := range []string{s.path(uid), s.note(uid)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the seed of VirtualMachine %s: %w", uid, err)
		}
	}
	return nil
}

// seedName is what a seed and its note are called: nothing else is ever removed.
var seedName = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(iso|json)$`)

// sweep removes the seeds of VMs that have no domain here, of which it returns how
// many, and what a crash left of one that was being written. It is for when none is.
func (s seedStore) sweep(there func(uid types.UID) bool) (removed int, err error) {
	if s.dir == "" {
		return 0, nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, err
	}
	var errs []error
	for _, e := range entries {
		name := seedName.FindStringSubmatch(e.Name())
		if e.Name() != seedStaging && (name == nil || there(types.UID(name[1]))) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		if strings.HasSuffix(e.Name(), seedSuffix) {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}
