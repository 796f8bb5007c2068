package executor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/libvirt"
)

const strangerUID = "22222222-2222-4222-8222-222222222222"

func TestASeedIsForQEMUAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seeds", testNode)
	store := seedStore{dir: dir}
	var user *libvirt.User
	if os.Geteuid() == 0 {
		user = &libvirt.User{UID: 64055, GID: 109}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil { // as somebody made it
		t.Fatal(err)
	}
	for _, content := range []string{"one", "another"} {
		if err := store.write(testUID, []byte(content), user); err != nil {
			t.Fatal(err)
		}
		got, err := store.read(testUID)
		if err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for path, mode := range map[string]fs.FileMode{dir: fs.ModeDir | 0o710, store.path(testUID): 0o400} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), mode)
		}
		is := info.Sys().(*syscall.Stat_t)
		if user != nil && int(is.Gid) != user.GID {
			t.Errorf("%s has group %d", path, is.Gid)
		}
		if user != nil && !info.IsDir() && int(is.Uid) != user.UID {
			t.Errorf("%s has owner %d", path, is.Uid)
		}
		if info.IsDir() && int(is.Uid) != os.Geteuid() {
			t.Errorf("%s has owner %d: QEMU could put files there", path, is.Uid)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("the folder has %v", entries)
	}
	if err := errors.Join(store.remove(testUID), store.remove(testUID)); err != nil {
		t.Error(err)
	}
	if got, err := store.read(testUID); got != nil || err != nil {
		t.Errorf("a seed that was removed is %q, %v", got, err)
	}
}

func TestASeedThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	store := seedStore{dir: t.TempDir()}
	if err := store.write(testUID, []byte("old"), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(store.path(strangerUID), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := store.write(strangerUID, []byte("new"), nil); err == nil {
		t.Error("a file was written over a folder")
	}
	if err := (seedStore{}).write(testUID, nil, nil); err == nil {
		t.Error("a seed was written nowhere")
	}
	entries, _ := os.ReadDir(store.dir)
	if got, _ := store.read(testUID); string(got) != "old" || len(entries) != 2 {
		t.Errorf("%q, and the folder has %v", got, entries)
	}
}

func TestSweepTakesNothingButSeedsOfNobody(t *testing.T) {
	store := seedStore{dir: t.TempDir()}
	for _, name := range []string{testUID + ".iso", strangerUID + ".iso", seedTemporary + "123", "notes.txt", "x.iso"} {
		if err := os.WriteFile(filepath.Join(store.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := store.sweep(func(uid types.UID) bool { return uid == testUID })
	if err != nil || removed != 2 {
		t.Errorf("removed %d, %v", removed, err)
	}
	entries, _ := os.ReadDir(store.dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{testUID + ".iso", "notes.txt", "x.iso"}; !slices.Equal(left, want) {
		t.Errorf("left are %v", left)
	}
	if removed, err := (seedStore{dir: filepath.Join(store.dir, "none")}).sweep(nil); removed != 0 || err != nil {
		t.Errorf("a folder that is not there: %d, %v", removed, err)
	}
}
