package xmldoc_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/xmldoc"
)

// flat lists all of a document that comparing and correcting look at.
func flat(doc *xmldoc.Document) []string {
	var out []string
	doc.Root.All(func(e *xmldoc.Element) {
		out = append(out, fmt.Sprintf("%s %s %s %q %v %q", e.Path(), e.Space, e.Local, e.Text, e.Attributes, e.Inner()))
	})
	return out
}

func TestOwnTextIsReadAsAnyOther(t *testing.T) {
	files, err := filepath.Glob("../document/testdata/*.xml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	texts := map[string][]byte{
		"metadata":             []byte(`<domain><metadata> <a:b xmlns:a="u">t<!-- c --></a:b></metadata><name>a</name></domain>`),
		"wrong metadata":       []byte(`<domain><metadata><a b="1" b="2"/></metadata><name>a</name></domain>`),
		"more than metadata":   []byte(`<domain><metadata></metadata><metadata></metadata></domain>`),
		"unclosed metadata":    []byte(`<domain><metadata><name>a</name></domain>`),
		"a comment":            []byte(`<domain><!-- c --><name>a</name></domain>`),
		"single quotes":        []byte(`<domain a='1'></domain>`),
		"a second root":        []byte(`<domain></domain><domain></domain>`),
		"an attribute twice":   []byte(`<domain a="1" a="2"></domain>`),
		"cut off":              []byte(`<domain><name>`),
		"closed by another":    []byte(`<domain><name></domain></name>`),
		"an unknown entity":    []byte(`<domain><name>&nbsp;</name></domain>`),
		"an entity in another": []byte(`<domain><name>&amp;lt;</name></domain>`),
		"text behind":          []byte(`<domain></domain>x`),
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var domain libvirtxml.Domain
		if xml.Unmarshal(text, &domain) != nil {
			continue
		}
		if texts[file], err = xml.Marshal(&domain); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			want, wantErr := xmldoc.Parse("", text, xmldoc.Limits{})
			got, gotErr := xmldoc.ParseOwn(text, xmldoc.Limits{})
			if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) {
				t.Fatalf("got %v, want %v", gotErr, wantErr)
			}
			if wantErr != nil {
				return
			}
			if diff := cmp.Diff(flat(want), flat(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTokensAreThoseOfTheText(t *testing.T) {
	const text = `<d xmlns:q="urn:q" a="1"><x>t</x><q:y q:b="2"><z></z></q:y></d>`
	doc, err := xmldoc.Parse("", []byte(text), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	read := func(next func() (xml.Token, error)) []xml.Token {
		var out []xml.Token
		for {
			token, err := next()
			if errors.Is(err, io.EOF) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, xml.CopyToken(token))
		}
	}
	want := read(xml.NewDecoder(strings.NewReader(text)).RawToken)
	got := read(doc.Tokens(xmldoc.Rules{}).Token)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
