package cni

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// lock is a VM's, held while plugins work for it. It is a lock on an open file that
// plugins inherit: when vm-executor is killed, what it started holds the lock on, so
// that nobody removes a card that a plugin of before is still adding.
type lock struct{ file *os.File }

// grace is how long plugins may work on whose vm-executor was killed. One that is
// ended amid its work may leave what it alone knows of, such as a rule of its own, and
// nearly all are done sooner.
const grace = 5 * time.Second

// acquire takes the lock. In this process the VM has one holder (turn.go): who else
// has it was started by one that is dead. It is waited for, and ended after a while.
func acquire(ctx context.Context, dir string, uid types.UID) (*lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("locking VM %s: %w", uid, err)
	}
	path := filepath.Join(dir, string(uid))
	for start := time.Now(); ; {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("locking VM %s: %w", uid, err)
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && current(file, path) {
			return &lock{file: file}, nil
		}
		_ = file.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking VM %s: %w", uid, err)
		}
		if err != nil && time.Since(start) > grace {
			endOrphans(path, uid)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the plugins that work for VM %s: %w", uid, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// current says whether the file is still the one at path: its last holder may have
// removed it meanwhile.
func current(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// release gives the lock up, also where a program that a plugin left behind still
// has the file open. With remove the file goes too.
func (l *lock) release(remove bool) {
	if remove {
		_ = os.Remove(l.file.Name())
	}
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	_ = l.file.Close()
}

// locked are the VMs that have a lock, held or left.
func locked(dir string) ([]types.UID, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing locks: %w", err)
	}
	var uids []types.UID
	for _, e := range entries {
		uids = append(uids, types.UID(e.Name()))
	}
	return uids, nil
}

// endOrphans kills processes that were started as plugins for the VM and have its
// lock open.
func endOrphans(path string, uid types.UID) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !orphan(pid, path, uid) {
			continue
		}
		process, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if orphan(pid, path, uid) { // and not another that was given its number
			_ = unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(process)
	}
}

func orphan(pid int, path string, uid types.UID) bool {
	at := filepath.Join("/proc", strconv.Itoa(pid))
	environment, err := os.ReadFile(filepath.Join(at, "environ"))
	if err != nil || !bytes.Contains(append([]byte{0}, environment...), []byte("\x00CNI_CONTAINERID="+string(uid)+"\x00")) {
		return false
	}
	descriptors, err := os.ReadDir(filepath.Join(at, "fd"))
	if err != nil {
		return false
	}
	for _, d := range descriptors {
		if to, err := os.Readlink(filepath.Join(at, "fd", d.Name())); err == nil && to == path {
			return true
		}
	}
	return false
}
