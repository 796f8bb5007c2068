package cloudinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/cloudinit/seedtest"
)

const (
	uid     = "0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a001"
	keyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkC5tjIvEHl5E3cRkmKyHo5q1vGRfTjXCRxNAuTuk2w ops@example"
)

// mustWrite writes the medium of a content.
func mustWrite(t interface {
	Fatal(...any)
	Helper()
}, dir string, c Content) *os.File {
	t.Helper()
	seed, err := c.Seed(uid)
	if err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	staging := filepath.Join(work, "files")
	if err := os.Mkdir(staging, 0o700); err != nil {
		t.Fatal(err)
	}
	medium, err := os.Create(filepath.Join(work, "medium"))
	if err != nil {
		t.Fatal(err)
	}
	if err := seed.WriteMedium(medium, staging); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(staging); len(left) > 0 {
		t.Fatal("left of what was staged: ", left)
	}
	return medium
}

// files reads a medium by Rock Ridge.
func files(t interface{ Fatal(...any) }, medium *os.File) map[string]string {
	info, err := medium.Stat()
	if err != nil {
		t.Fatal(err)
	}
	fs, err := iso9660.Read(file.New(medium, true), info.Size(), 0, sector)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = ""
		if info.Size() == 0 {
			continue
		}
		content, err := fs.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(content)
	}
	return out
}

// jolietFiles reads a medium as what knows no Rock Ridge does: its mark is taken out
// of a copy.
func jolietFiles(t interface{ Fatal(...any) }, dir string, medium *os.File) map[string]string {
	data, err := os.ReadFile(medium.Name())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("SP\x07\x01\xbe\xef"))
	if at < 0 {
		t.Fatal("there is no Rock Ridge")
	}
	copy(data[at:], "ZZ")
	plain, err := os.Create(filepath.Join(dir, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if _, err := plain.Write(data); err != nil {
		t.Fatal(err)
	}
	return files(t, plain)
}

// everyName reads a medium by each of the names that files have.
func everyName(t interface{ Fatal(...any) }, dir string, medium *os.File) map[string]map[string]string {
	_, plain := seedtest.Files(t, medium)
	return map[string]map[string]string{"ISO 9660": plain, "Rock Ridge": files(t, medium), "Joliet": jolietFiles(t, dir, medium)}
}

func TestASeedHasTheFilesOfNoCloud(t *testing.T) {
	for name, test := range map[string]struct {
		content Content
		want    map[string]string
	}{
		"all of it": {
			Content{InstanceID: "i-1", Hostname: "web", UserData: []byte("#!/bin/sh\n"), NetworkData: []byte("version: 2\n"), SSHKeys: []string{keyLine, "b"}},
			map[string]string{
				"meta-data":      `{"instance-id":"i-1","local-hostname":"web","public-keys":["` + keyLine + `","b"]}` + "\n",
				"user-data":      "#!/bin/sh\n",
				"network-config": "version: 2\n",
			},
		},
		"a host name alone": {
			Content{InstanceID: "i-1", Hostname: "web"},
			map[string]string{"meta-data": `{"instance-id":"i-1","local-hostname":"web"}` + "\n", "user-data": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none")) // nothing is staged there
			dir := t.TempDir()
			medium := mustWrite(t, dir, test.content)
			if label, _ := seedtest.Files(t, medium); label != "cidata" {
				t.Errorf("label %q", label)
			}
			test.want[lastName] = lastText
			for by, got := range everyName(t, dir, medium) {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s: %s", by, diff)
				}
			}
			got := files(t, medium)
			var meta map[string]any
			if err := yaml.Unmarshal([]byte(got["meta-data"]), &meta); err != nil {
				t.Errorf("meta-data is no YAML: %v", err)
			}
		})
	}
}

// TestASeedIsWhatItIsMadeOf: whatever is put in comes out, by each of the two names
// that files have. Many are of whole sectors, and of none.
func TestASeedIsWhatItIsMadeOf(t *testing.T) {
	dir := t.TempDir()
	bytesOf := func(t *rapid.T, what string) []byte {
		size := rapid.OneOf(rapid.SampledFrom([]int{0, 1, sector - 1, sector, sector + 1, 2 * sector, 8 * sector}), rapid.IntRange(0, 3*sector)).Draw(t, what+"'s size")
		return rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, what)
	}
	rapid.Check(t, func(t *rapid.T) {
		content := Content{
			InstanceID:  rapid.StringMatching(`[a-z0-9-]{1,20}`).Draw(t, "instance"),
			Hostname:    "web",
			UserData:    bytesOf(t, "user data"),
			NetworkData: bytesOf(t, "network data"),
		}
		medium := mustWrite(t, dir, content)
		defer func() { _ = medium.Close() }()
		info, err := medium.Stat()
		if err != nil || info.Size()%sector != 0 {
			t.Fatalf("%d bytes are no whole sectors: %v", info.Size(), err)
		}
		size := make([]byte, 4) // of the volume, in sectors, as its descriptor says
		if _, err := medium.ReadAt(size, 16*sector+80); err != nil {
			t.Fatal(err)
		}
		if says := int64(binary.LittleEndian.Uint32(size)) * sector; info.Size() != says {
			t.Fatalf("it has %d bytes, and says %d", info.Size(), says)
		}
		for by, got := range everyName(t, dir, medium) {
			if got["user-data"] != string(content.UserData) || got["network-config"] != string(content.NetworkData) || len(got["meta-data"]) == 0 {
				t.Fatalf("%s: the files are not what was put in", by)
			}
		}
	})
}

// TestAMediumIsStagedInPrivate: secrets are written to no other folder.
func TestAMediumIsStagedInPrivate(t *testing.T) {
	open, full, temp := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Chmod(open, 0o750), os.Chmod(full, 0o700), os.Symlink(full, link), os.WriteFile(filepath.Join(full, "a"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for staging, want := range map[string]string{
		"": "no such file", filepath.Join(open, "none"): "no such file", open: "nobody else can enter",
		link: "nobody else can enter", full: "is not empty",
	} {
		medium, err := os.Create(filepath.Join(t.TempDir(), "medium"))
		if err != nil {
			t.Fatal(err)
		}
		err = Seed{"user-data": []byte("hush")}.WriteMedium(medium, staging)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", staging, err, want)
		}
		if info, _ := medium.Stat(); info.Size() != 0 {
			t.Errorf("%q: it was written", staging)
		}
	}
	for dir, want := range map[string]int{open: 0, full: 1, temp: 0} {
		if entries, _ := os.ReadDir(dir); len(entries) != want {
			t.Errorf("%s has %v", dir, entries)
		}
	}
}

// newStaging is a folder to write a medium from.
func newStaging(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAMediumThatCannotBeWrittenIsAnError: the library looks at few of its writes.
func TestAMediumThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Seed{"user-data": []byte("a")}).WriteMedium(full, newStaging(t)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full device: %v", err)
	}
	// How large files may be is a limit of the whole process, in which package
	// testing writes files too.
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAMediumWithLittleRoom$", "-test.v")
	child.Env = append(os.Environ(), littleRoom+"=yes")
	if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestAMediumWithLittleRoom")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// littleRoom tells the process that TestAMediumWithLittleRoom is its only test.
const littleRoom = "DOMUS_TEST_LITTLE_ROOM"

// TestAMediumWithLittleRoom is run by TestAMediumThatCannotBeWrittenIsAnError.
// There is room for less and less: the last write that fails is one of the
// library's that it does not look at.
func TestAMediumWithLittleRoom(t *testing.T) {
	if os.Getenv(littleRoom) == "" {
		return
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	for room := 16 * sector; room < 28*sector; room += sector {
		medium, err := os.Create(filepath.Join(t.TempDir(), "medium"))
		if err != nil {
			t.Fatal(err)
		}
		dir := newStaging(t)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(room), Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		err = Seed{"meta-data": []byte("a"), "user-data": []byte("a")}.WriteMedium(medium, dir)
		if err2 := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err2 != nil {
			t.Fatal(err2)
		}
		if !errors.Is(err, syscall.EFBIG) {
			t.Errorf("room for %d sectors: %v", room/sector, err)
		}
	}
}

func TestADigestIsAnotherWhenAnythingIs(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []Seed{
		{}, {"user-data": nil}, {"user-data": []byte("a")}, {"meta-data": []byte("a")}, {"user-data": []byte("a"), "meta-data": nil},
		{"user-data": []byte("ab")}, {"user-dataa": []byte("b")}, {"user-data": []byte("a"), "meta-data": []byte("b")},
	} {
		first := seed.Digest()
		if seen[first] {
			t.Errorf("%q has the digest of another", seed)
		}
		seen[first] = true
		for range 20 { // maps have no order
			if maps.Clone(seed).Digest() != first {
				t.Fatalf("%q has two digests", seed)
			}
		}
	}
}

func TestAnInstanceIsAnotherWhenAnythingIs(t *testing.T) {
	base := Content{Hostname: "web", UserData: []byte("a"), NetworkData: []byte("b"), SSHKeys: []string{"c", "d"}}
	seen := map[string]string{base.instanceID(uid): "the same"}
	for name, change := range map[string]func(*Content){
		"host name":                   func(c *Content) { c.Hostname = "web2" },
		"user data":                   func(c *Content) { c.UserData = []byte("A") },
		"network data":                func(c *Content) { c.NetworkData = nil },
		"a key":                       func(c *Content) { c.SSHKeys = []string{"c"} },
		"the order of keys":           func(c *Content) { c.SSHKeys = []string{"d", "c"} },
		"what moves between two keys": func(c *Content) { c.SSHKeys = []string{"cd", ""} },
		"what moves between parts":    func(c *Content) { c.UserData, c.NetworkData = []byte("ab"), nil },
	} {
		other := base
		change(&other)
		id := other.instanceID(uid)
		if twin, found := seen[id]; found {
			t.Errorf("%s: the instance is that of %s", name, twin)
		}
		seen[id] = name
		if !strings.HasPrefix(id, uid+"-") {
			t.Errorf("%s: %s", name, id)
		}
	}
	if got := base.instanceID(uid); got != base.instanceID(uid) || base.instanceID("other") == got {
		t.Error("an instance does not follow from its VM and content")
	}
	base.InstanceID = "mine"
	if got := base.instanceID(uid); got != "mine" {
		t.Errorf("the user's own instance is %q", got)
	}
}

func TestDHCP(t *testing.T) {
	if got := DHCP(nil); got != nil {
		t.Errorf("no interface has %s", got)
	}
	got := DHCP([]string{"52:54:00:00:00:01", "52:54:00:00:00:02"})
	want := `{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"52:54:00:00:00:01"},"dhcp4":true},"nic1":{"match":{"macaddress":"52:54:00:00:00:02"},"dhcp4":true}}}` + "\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := checkNetworkData(got); err != nil {
		t.Error(err)
	}
}
