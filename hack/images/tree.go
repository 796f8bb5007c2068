package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is a file system as it is to be: all of it root's, each entry by its path
// without a leading slash.
type tree struct{ entries map[string]entry }

type entry struct {
	kind    byte // of archive/tar
	mode    int64
	content []byte
	link    string
}

func newTree() *tree { return &tree{entries: map[string]entry{}} }

func (t *tree) file(name string, mode int64, content []byte) {
	t.put(name, entry{kind: tar.TypeReg, mode: mode, content: content})
}

func (t *tree) dir(name string, mode int64) { t.put(name, entry{kind: tar.TypeDir, mode: mode}) }

func (t *tree) symlink(name, to string) {
	t.put(name, entry{kind: tar.TypeSymlink, mode: 0o777, link: to})
}

// put adds an entry and the folders above it. A folder that is there stays as it is.
func (t *tree) put(name string, e entry) {
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		if _, has := t.entries[up]; !has {
			t.entries[up] = entry{kind: tar.TypeDir, mode: 0o755}
		}
	}
	if has, ok := t.entries[name]; ok && has.kind == tar.TypeDir && e.kind == tar.TypeDir {
		return
	}
	t.entries[name] = e
}

// tar packs the tree, in the order of paths.
func (t *tree) tar(at time.Time) ([]byte, error) {
	var names []string
	for name := range t.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		e := t.entries[name]
		header := &tar.Header{Name: name, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.content)), Linkname: e.link, ModTime: at, Format: tar.FormatPAX}
		if e.kind == tar.TypeDir {
			header.Name += "/"
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// skeleton is what programs take for granted: who there is, a folder for temporary
// files, and where mounts go.
func (t *tree) skeleton() error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		t.dir("usr/"+name, 0o755)
		t.symlink(name, "usr/"+name)
	}
	for _, name := range []string{"dev", "etc", "proc", "run", "sys", "var/lib", "var/log"} {
		t.dir(name, 0o755)
	}
	// libvirt's client looks for sockets in either.
	t.symlink("var/run", "/run")
	t.dir("tmp", 0o1777)
	t.file("etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/:/sbin/nologin\n", nonroot, nonroot))
	t.file("etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nonroot))
	t.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
	return nil
}

// merged is the path in a system whose /bin, /sbin, /lib and /lib64 are links into
// /usr.
func merged(name string) string {
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, first) {
		return "usr/" + name
	}
	return name
}
