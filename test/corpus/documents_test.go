package corpus_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert/xmldoc"
)

const (
	// libvirtFolder is where hack/corpus.sh leaves libvirt's test data.
	libvirtFolder = "../../bin/corpus/libvirt"
	// sampleFolder has documents of it that someone else chose.
	sampleFolder = "../../../shared/data/libvirt-xml"
)

// limits let all of libvirt's test data in: its largest document is 256 KiB.
var limits = xmldoc.Limits{Bytes: 1 << 20}

// file is a document of libvirt's.
type file struct {
	// name is its path below the folder.
	name string
	text []byte
	kind xmldoc.Kind
}

// documents reads all documents below a folder that are of a kind that can be
// read, in the order of their names. What is not XML, or of another kind, is
// libvirt's test data for something else.
func documents(t testing.TB, folder string) []file {
	t.Helper()
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if folder == libvirtFolder {
			t.Fatal("libvirt's test documents are not here: make corpus fetches them")
		}
		t.Skipf("there is no %s", folder)
	}
	var out []file
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".xml" {
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			return nil // the same document is found by its own name
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		doc, err := xmldoc.Parse(path, text, limits)
		if err != nil {
			return nil
		}
		kind, err := doc.Kind()
		if err != nil {
			return nil
		}
		name, err := filepath.Rel(folder, path)
		out = append(out, file{name: name, text: text, kind: kind})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// schemas are the schemas of libvirt's by kind of document.
var schemas = map[xmldoc.Kind]string{
	xmldoc.KindDomain:   "domain.rng",
	xmldoc.KindNetwork:  "network.rng",
	xmldoc.KindSnapshot: "domainsnapshot.rng",
	xmldoc.KindVolume:   "storagevol.rng",
	xmldoc.KindPool:     "storagepool.rng",
}

// invalid are the documents that libvirt's own schema, which came with them,
// does not take, and the first reason it gives.
func invalid(t *testing.T, folder string, files []file) map[string]string {
	t.Helper()
	out := map[string]string{}
	for kind, schema := range schemas {
		args := []string{"--noout", "--relaxng", filepath.Join(libvirtFolder, "schemas", schema)}
		valid := map[string]bool{}
		for _, f := range files {
			if f.kind == kind {
				args = append(args, filepath.Join(folder, f.name))
			}
		}
		said := &bytes.Buffer{}
		command := exec.Command("xmllint", args...)
		command.Stderr = said
		err := command.Run()
		if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
			t.Fatalf("running xmllint (make deps installs it): %v", err)
		}
		reasons := map[string]string{}
		for line := range strings.Lines(said.String()) {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutSuffix(line, " validates"); ok {
				valid[name] = true
				continue
			}
			if name, _, ok := strings.Cut(line, ".xml:"); ok && reasons[name+".xml"] == "" {
				reasons[name+".xml"] = line[len(name)+len(".xml:"):]
			}
		}
		if len(valid) == 0 && slices.ContainsFunc(files, func(f file) bool { return f.kind == kind }) {
			t.Fatalf("xmllint takes none of the %ss: %s", kind, said)
		}
		for _, f := range files {
			if path := filepath.Join(folder, f.name); f.kind == kind && !valid[path] {
				out[f.name] = reasons[path]
			}
		}
	}
	return out
}
