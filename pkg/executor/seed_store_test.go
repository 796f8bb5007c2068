package executor

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/cloudinit"
	"domus.dev/domus/pkg/cloudinit/seedtest"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

const strangerUID = "22222222-2222-4222-8222-222222222222"

func TestASeedIsForQEMUAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seeds", vmtest.Node)
	store := seedStore{dir: dir}
	var user *libvirt.User
	if os.Geteuid() == 0 {
		user = &libvirt.User{UID: 64055, GID: 109}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil { // as somebody made it
		t.Fatal(err)
	}
	for _, content := range []string{"one", "another"} {
		if err := store.write(vmtest.UID, seedOf(content), user); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, store)["user-data"]; got != content {
			t.Errorf("got %q", got)
		}
		if told, err := store.told(vmtest.UID); err != nil || told != seedOf(content).Digest() {
			t.Errorf("told %s, %v", told, err)
		}
	}
	for path, mode := range map[string]fs.FileMode{
		dir: fs.ModeDir | 0o710, store.path(vmtest.UID): 0o400, store.note(vmtest.UID): 0o600, filepath.Join(dir, seedStaging): fs.ModeDir | 0o700,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), mode)
		}
		is := info.Sys().(*syscall.Stat_t)
		if path != dir && path != store.path(vmtest.UID) {
			if int(is.Uid) != os.Geteuid() {
				t.Errorf("%s has owner %d", path, is.Uid)
			}
			continue
		}
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
	if got, want := tree(t, dir), []string{vmtest.UID + ".iso", vmtest.UID + ".json"}; !slices.Equal(got, want) {
		t.Errorf("the folder has %v", got)
	}
	if err := errors.Join(store.remove(vmtest.UID), store.remove(vmtest.UID)); err != nil {
		t.Error(err)
	}
	if told, err := store.told(vmtest.UID); told != "" || err != nil || len(tree(t, dir)) != 0 {
		t.Errorf("of a seed that was removed: %q, %v, %v", told, err, tree(t, dir))
	}
}

func TestASeedThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	store := seedStore{dir: t.TempDir()}
	if err := store.write(vmtest.UID, seedOf("old"), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(store.path(strangerUID), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := store.write(strangerUID, seedOf("new"), nil); err == nil {
		t.Error("a file was written over a folder")
	}
	if err := (seedStore{}).write(vmtest.UID, nil, nil); err == nil {
		t.Error("a seed was written nowhere")
	}
	if got := mustRead(t, store)["user-data"]; got != "old" {
		t.Errorf("%q", got)
	}
	if exists(store.note(strangerUID)) {
		t.Error("there is a note of a seed that is not there")
	}
	if left, _ := os.ReadDir(filepath.Join(store.dir, seedStaging)); len(left) != 0 {
		t.Errorf("left of what was staged: %v", left)
	}
}

// TestTheSameSeedIsNotWritten, and one that anybody changed is.
func TestTheSameSeedIsNotWritten(t *testing.T) {
	store := seedStore{dir: t.TempDir()}
	written := func(content string) bool {
		t.Helper()
		before, _ := os.Stat(store.path(vmtest.UID))
		if err := store.write(vmtest.UID, seedOf(content), nil); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(store.path(vmtest.UID))
		if err != nil {
			t.Fatal(err)
		}
		return before == nil || !os.SameFile(before, after)
	}
	if !written("a") || written("a") || !written("b") || written("b") {
		t.Error("it is not the content that decides")
	}
	for name, change := range map[string]func() error{
		"bytes": func() error {
			return errors.Join(os.Chmod(store.path(vmtest.UID), 0o600), os.WriteFile(store.path(vmtest.UID), []byte("other"), 0o600), os.Chmod(store.path(vmtest.UID), 0o400))
		},
		"one byte": func() error {
			data, err := os.ReadFile(store.path(vmtest.UID))
			if err != nil {
				return err
			}
			data[len(data)/2]++
			return errors.Join(os.Chmod(store.path(vmtest.UID), 0o600), os.WriteFile(store.path(vmtest.UID), data, 0o600), os.Chmod(store.path(vmtest.UID), 0o400))
		},
		"mode":     func() error { return os.Chmod(store.path(vmtest.UID), 0o440) },
		"no note":  func() error { return os.Remove(store.note(vmtest.UID)) },
		"bad note": func() error { return os.WriteFile(store.note(vmtest.UID), []byte("x"), 0o600) },
		"no seed":  func() error { return os.Remove(store.path(vmtest.UID)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if !written("b") || mustRead(t, store)["user-data"] != "b" {
			t.Errorf("%s: it was not written", name)
		}
	}
}

func TestASeedIsStagedNowhereElse(t *testing.T) {
	temp, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	for name, make := range map[string]func(staging string) error{
		"a link": func(staging string) error { return os.Symlink(elsewhere, staging) },
		"a file": func(staging string) error { return os.WriteFile(staging, nil, 0o600) },
		"another's": func(staging string) error {
			if os.Geteuid() != 0 {
				return os.Symlink(elsewhere, staging) // only root can give a folder away
			}
			return errors.Join(os.Mkdir(staging, 0o700), os.Chown(staging, 64055, -1))
		},
	} {
		store := seedStore{dir: t.TempDir()}
		if err := make(filepath.Join(store.dir, seedStaging)); err != nil {
			t.Fatal(err)
		}
		if err := store.write(vmtest.UID, seedOf("a"), nil); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(store.path(vmtest.UID)); err == nil {
			t.Errorf("%s: there is a seed", name)
		}
	}
	store := seedStore{dir: t.TempDir()}
	if err := errors.Join(os.Mkdir(filepath.Join(store.dir, seedStaging), 0o777), os.Chmod(filepath.Join(store.dir, seedStaging), 0o777), store.write(vmtest.UID, seedOf("a"), nil)); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(filepath.Join(store.dir, seedStaging)); info.Mode().Perm() != seedStagingMode {
		t.Errorf("the folder that was there has mode %s", info.Mode())
	}
	if got := append(tree(t, temp), tree(t, elsewhere)...); len(got) != 0 {
		t.Errorf("elsewhere: %v", got)
	}
}

// writesSeeds has the folder to which a process of this test writes.
const writesSeeds = "DOMUS_TEST_WRITES_SEEDS"

// TestAKillLeavesOneWholeSeed kills a process that writes one seed after the other,
// until something was staged a few times: what is left is a whole seed, and what the
// next start sweeps.
func TestAKillLeavesOneWholeSeed(t *testing.T) {
	if dir := os.Getenv(writesSeeds); dir != "" {
		store := seedStore{dir: dir}
		for i := 0; ; i++ {
			if err := store.write(vmtest.UID, killed(i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir, temp := filepath.Join(t.TempDir(), vmtest.Node), t.TempDir()
	store := seedStore{dir: dir}
	struck := 0
	for try := 0; struck < 5; try++ {
		if try == 200 {
			t.Fatalf("only %d of %d kills left anything that was staged", struck, try)
		}
		writer := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		writer.Env = append(os.Environ(), writesSeeds+"="+dir, "TMPDIR="+temp)
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		for tries := 0; !exists(store.note(vmtest.UID)); tries++ { // its first one is written
			if tries == 10000 {
				t.Fatal("no seed was written in 10 s")
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := writer.Wait(); err == nil || writer.ProcessState.ExitCode() != -1 {
			t.Fatalf("the writer was not killed: %v", err)
		}
		var secrets bool
		for _, name := range tree(t, dir) {
			staged := strings.HasPrefix(name, seedStaging+"/")
			secrets = secrets || staged
			if !staged && name != vmtest.UID+seedSuffix && name != vmtest.UID+noteSuffix {
				t.Errorf("left is %s", name)
			}
		}
		if secrets {
			struck++
		}
		if got := mustRead(t, store); len(got["user-data"]) != killedSize || got["user-data"] != got["network-config"] {
			t.Errorf("the seed is not a whole one: %d and %d bytes", len(got["user-data"]), len(got["network-config"]))
		}
		if _, err := store.sweep(func(types.UID) bool { return true }); err != nil {
			t.Fatal(err)
		}
		for _, name := range tree(t, dir) {
			if name != vmtest.UID+seedSuffix && name != vmtest.UID+noteSuffix {
				t.Errorf("after the sweep there is %s", name)
			}
		}
		if err := store.write(vmtest.UID, seedOf("next"), nil); err != nil || mustRead(t, store)["user-data"] != "next" {
			t.Errorf("the next seed: %v", err)
		}
		if err := store.remove(vmtest.UID); err != nil {
			t.Fatal(err)
		}
	}
	if got := tree(t, temp); len(got) != 0 {
		t.Errorf("in the temporary folder: %v", got)
	}
}

// killedSize is that of each of a seed's two files, in bytes.
const killedSize = 1 << 18

func killed(i int) cloudinit.Seed {
	data := []byte(strings.Repeat(string(rune('a'+i%26)), killedSize))
	return cloudinit.Seed{"user-data": data, "network-config": data}
}

func seedOf(userData string) cloudinit.Seed {
	return cloudinit.Seed{"meta-data": []byte("{}"), "user-data": []byte(userData)}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// tree lists the files under a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mustRead reads the files of the VM's seed from its medium.
func mustRead(t *testing.T, store seedStore) map[string]string {
	t.Helper()
	medium, err := os.Open(store.path(vmtest.UID))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = medium.Close() }()
	_, files := seedtest.Files(t, medium)
	return files
}

func TestSweepTakesNothingButSeedsOfNobody(t *testing.T) {
	store := seedStore{dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(store.dir, seedStaging, "123", "files"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		vmtest.UID + ".iso", vmtest.UID + ".json", strangerUID + ".iso", strangerUID + ".json", seedStaging + "/123/files/user-data", "notes.txt", "x.iso",
	} {
		if err := os.WriteFile(filepath.Join(store.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := store.sweep(func(uid types.UID) bool { return uid == vmtest.UID })
	if err != nil || removed != 1 {
		t.Errorf("removed %d, %v", removed, err)
	}
	entries, _ := os.ReadDir(store.dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{vmtest.UID + ".iso", vmtest.UID + ".json", "notes.txt", "x.iso"}; !slices.Equal(left, want) {
		t.Errorf("left are %v", left)
	}
	if removed, err := (seedStore{dir: filepath.Join(store.dir, "none")}).sweep(nil); removed != 0 || err != nil {
		t.Errorf("a folder that is not there: %d, %v", removed, err)
	}
}
