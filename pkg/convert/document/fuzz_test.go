package document_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// seeds are the documents of testdata and, to fuzz with where make corpus has
// fetched them, the shorter ones of libvirt's own: test/corpus has them all.
func seeds(f *testing.F) [][]byte {
	const most = 4 << 10 // longer ones make the fuzzer slow, and show no more
	var out [][]byte
	folders := []string{"testdata"}
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		folders = append(folders, "../../../bin/corpus/libvirt/tests")
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || filepath.Ext(path) != ".xml" {
				return err
			}
			text, err := os.ReadFile(path)
			if len(text) <= most {
				out = append(out, text)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.Fatal(err)
		}
	}
	return out
}

// FuzzXML goes from XML to YAML's tree and back.
func FuzzXML(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := document.Read("", text, xmldoc.Limits{})
		if err != nil {
			if errs := (xmldoc.Errors)(nil); !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		out, errs := document.Write(doc.Kind, doc.Value, nil)
		if len(errs) > 0 {
			t.Fatalf("%v\n%s", errs.ToAggregate(), doc.Value)
		}
		again, err := document.Read("", out, xmldoc.Limits{Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, d := range xmldoc.Compare(doc.XML, again.XML, document.Rules()) {
			t.Errorf("%s\n%s", d, out)
		}
		if !bytes.Equal(doc.Value, again.Value) {
			t.Errorf("%s\nbecomes\n%s", doc.Value, again.Value)
		}
	})
}

// FuzzTree goes from YAML's tree to XML and back.
func FuzzTree(f *testing.F) {
	for _, text := range seeds(f) {
		doc, err := document.Read("", text, xmldoc.Limits{})
		if err != nil {
			continue
		}
		for i, kind := range xmldoc.Kinds {
			if kind == doc.Kind {
				f.Add(i, doc.Value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, n int, value []byte) {
		kind := xmldoc.Kinds[uint(n)%uint(len(xmldoc.Kinds))]
		text, errs := document.Write(kind, value, nil)
		if len(errs) > 0 {
			return
		}
		// It says the same when it is read, and then needs no second look.
		doc, err := document.Read("", text, xmldoc.Limits{Bytes: len(text) + 1})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if doc.Kind != kind {
			t.Fatalf("a %s becomes a %s", kind, doc.Kind)
		}
		again, errs := document.Write(kind, doc.Value, nil)
		if len(errs) > 0 {
			t.Fatalf("%v\n%s", errs.ToAggregate(), doc.Value)
		}
		if !bytes.Equal(text, again) {
			t.Errorf("%s\nbecomes\n%s", text, again)
		}
	})
}
