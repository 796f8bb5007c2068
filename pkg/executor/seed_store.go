package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/libvirt"
)

const (
	// seedSuffix follows the UID of the VirtualMachine in the name of a seed.
	seedSuffix = ".iso"
	// seedTemporary begins the name of a seed that is being written.
	seedTemporary = ".writing-"
	// Who is not QEMU finds no seed and reads none: QEMU's group may pass through
	// the folder, and QEMU's user may read the file.
	seedFolderMode = 0o710
	seedFileMode   = 0o400
)

// seedStore keeps what guests' cloud-init reads, a file for each VirtualMachine, in
// a folder of the host's own. It holds secrets: files are named by UIDs, which
// nobody chooses, as users do a domain's UUID.
type seedStore struct{ dir string }

// path is where the VM's seed is, or would be.
func (s seedStore) path(uid types.UID) string { return filepath.Join(s.dir, string(uid)+seedSuffix) }

// write puts the seed in place of an earlier one: whatever happens, one of the
// two is there as a whole. user is QEMU's; nil where that is our own.
func (s seedStore) write(uid types.UID, seed []byte, user *libvirt.User) (err error) {
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
	// As only we can read it.
	file, err := os.CreateTemp(s.dir, seedTemporary+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if _, err = file.Write(seed); err != nil {
		return err
	}
	if user != nil && user.UID != os.Geteuid() {
		if err = file.Chown(user.UID, user.GID); err != nil {
			return err
		}
	}
	if err = errors.Join(file.Chmod(seedFileMode), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), s.path(uid)); err != nil {
		return err
	}
	return syncFolder(s.dir)
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

// read returns the seed; nil when there is none.
func (s seedStore) read(uid types.UID) ([]byte, error) {
	seed, err := os.ReadFile(s.path(uid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the seed of VirtualMachine %s: %w", uid, err)
	}
	return seed, nil
}

// remove removes the seed, if there is one.
func (s seedStore) remove(uid types.UID) error {
	if s.dir == "" {
		return nil
	}
	if err := os.Remove(s.path(uid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the seed of VirtualMachine %s: %w", uid, err)
	}
	return nil
}

// seedName is what a seed is called: nothing else is ever removed.
var seedName = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.iso$`)

// sweep removes the seeds of VMs that have no domain here, and what a crash left of
// one that was being written. It is for when none is.
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
		if !strings.HasPrefix(e.Name(), seedTemporary) && (name == nil || there(types.UID(name[1]))) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}
