package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// packages makes a library's package and that of the authorities, as Debian builds
// them.
func packages(t *testing.T, into string) {
	t.Helper()
	for name, files := range map[string]map[string]string{
		"libthing":   {"lib/libthing.so.1": "code", "usr/share/doc/libthing/copyright": "terms", "usr/share/doc/libthing/README": "words", "usr/share/man/thing.1": "page"},
		certificates: {"usr/share/ca-certificates/mozilla/One.crt": "-ONE-", "usr/sbin/update-ca-certificates": "script"},
	} {
		root := filepath.Join(t.TempDir(), name)
		files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: for a test\n"
		for path, content := range files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if name == "libthing" {
			if err := os.Link(filepath.Join(root, "lib/libthing.so.1"), filepath.Join(root, "lib/libthing.so.2")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(root, "lib/libthing.so.1"), 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", root, filepath.Join(into, name+"_1_all.deb")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func TestPackagesBecomeFiles(t *testing.T) {
	debs := t.TempDir()
	packages(t, debs)
	tree := newTree()
	if err := tree.skeleton(); err != nil {
		t.Fatal(err)
	}
	if err := tree.addPackages(debs, true); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"usr/lib/libthing.so.1": "code", "usr/lib/libthing.so.2": "code", "usr/share/doc/libthing/copyright": "terms", authorities: "-ONE-\n",
	} {
		if got := string(tree.entries[path].content); got != want {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	if mode := tree.entries["usr/lib/libthing.so.1"].mode; mode != 0o755 {
		t.Errorf("a file with its owner's rights is kept as %o", mode)
	}
	for _, path := range []string{"lib/libthing.so.1", "usr/share/man/thing.1", "usr/share/doc/libthing/README", "usr/sbin/update-ca-certificates"} {
		if _, has := tree.entries[path]; has {
			t.Errorf("%s is there", path)
		}
	}
	if tree.entries["lib"].link != "usr/lib" {
		t.Errorf("/lib is %+v", tree.entries["lib"])
	}
	if !strings.HasPrefix(string(tree.entries["var/lib/dpkg/status.d/libthing"].content), "Package: libthing\n") {
		t.Error("nothing says which package is there")
	}
}

func TestTheSameIsMadeAndPushed(t *testing.T) {
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	o := options{programs: t.TempDir(), debs: t.TempDir(), tag: "v1", push: strings.TrimPrefix(server.URL, "http://") + "/domus"}
	packages(t, o.debs)
	for _, d := range definitions {
		if err := os.MkdirAll(filepath.Join(o.programs, d.name+".d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.programs, d.name+".d", d.name), []byte(d.name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var indexes []string
	for range 2 {
		o.out = t.TempDir()
		if err := run(o); err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(filepath.Join(o.out, "vm-executor", "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, string(index))
	}
	if indexes[0] != indexes[1] {
		t.Errorf("made twice:\n%s\n%s", indexes[0], indexes[1])
	}
	ref, err := name.ParseReference(o.push + "/vm-executor:v1")
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(indexes[0], pushed.Digest.String()) {
		t.Errorf("%s was pushed, and is not in %s", pushed.Digest, indexes[0])
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := sourceDate(); err == nil {
		t.Error("a time that is none was taken")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if at, err := sourceDate(); err != nil || !at.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%v, %v", at, err)
	}
}
