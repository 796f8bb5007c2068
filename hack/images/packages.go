package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// unwanted begin the paths that no program of the images reads.
var unwanted = []string{
	"usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info", "usr/share/gdb", "usr/share/bug",
	"usr/share/bash-completion", "usr/share/libvirt/test-screenshot.png",
	// Character sets other than Unicode's.
	"usr/lib/x86_64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/gconv",
}

const (
	certificates = "ca-certificates"
	// authorities is where programs look for them.
	authorities = "etc/ssl/certs/ca-certificates.crt"
)

// addPackages unpacks what packages have for programs to read; of all but
// ca-certificates only where libraries are wanted. No script of theirs is run.
func (t *tree) addPackages(dir string, libraries bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no packages in %s: run make images", dir)
	}
	slices.Sort(files)
	bundled := newTree()
	for _, file := range files {
		control, err := output("dpkg-deb", "--field", file)
		if err != nil {
			return err
		}
		is, _, _ := strings.Cut(strings.TrimPrefix(string(control), "Package: "), "\n")
		packed, err := output("dpkg-deb", "--fsys-tarfile", file)
		if err != nil {
			return err
		}
		into := t
		if is == certificates {
			into = bundled
		} else if !libraries {
			continue
		}
		if err := into.unpack(packed); err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(file), err)
		}
		// What scanners read in images without a package manager.
		t.file("var/lib/dpkg/status.d/"+is, 0o644, control)
	}
	return t.bundle(bundled)
}

// bundle puts all authorities into one file, as update-ca-certificates does.
func (t *tree) bundle(from *tree) error {
	var names []string
	for name := range from.entries {
		if strings.HasPrefix(name, "usr/share/ca-certificates/mozilla/") && strings.HasSuffix(name, ".crt") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return errors.New("no package has authorities' certificates: ca-certificates is missing")
	}
	slices.Sort(names)
	var all bytes.Buffer
	for _, name := range names {
		all.Write(bytes.TrimRight(from.entries[name].content, "\n"))
		all.WriteByte('\n')
	}
	t.file(authorities, 0o644, all.Bytes())
	if e, has := from.entries["usr/share/doc/"+certificates+"/copyright"]; has {
		t.put("usr/share/doc/"+certificates+"/copyright", e)
	}
	return nil
}

// unpack adds a package's files.
func (t *tree) unpack(packed []byte) error {
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := merged(path.Clean(strings.TrimPrefix(header.Name, "./")))
		if name == "." || isUnwanted(name) {
			continue
		}
		switch header.Typeflag {
		case tar.TypeDir:
			t.dir(name, header.Mode&0o7777)
		case tar.TypeSymlink:
			t.symlink(name, header.Linkname)
		case tar.TypeReg:
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			// Nothing here is to be run with more rights than its caller's.
			t.file(name, header.Mode&0o777, content)
		case tar.TypeLink:
			to, has := t.entries[merged(path.Clean(strings.TrimPrefix(header.Linkname, "./")))]
			if !has {
				return fmt.Errorf("%s is a link to %s, which is not there", name, header.Linkname)
			}
			t.put(name, to)
		default:
			return fmt.Errorf("%s is of type %q, which is not expected in a package", name, header.Typeflag)
		}
	}
}

func isUnwanted(name string) bool {
	// Of documentation what must go along: licences.
	if strings.HasPrefix(name, "usr/share/doc/") {
		return path.Base(name) != "copyright"
	}
	return slices.ContainsFunc(unwanted, func(prefix string) bool { return name == prefix || strings.HasPrefix(name, prefix+"/") })
}

func output(program string, args ...string) ([]byte, error) {
	var complaint bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}
