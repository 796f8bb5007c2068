// Package corpus_test holds the conversion of libvirt's XML against libvirt's
// own test data, and the domains that come back against libvirt itself.
package corpus_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// leftOut are valid documents that do not make the round trip, with the reason.
var leftOut = map[string]string{}

// floors are how many valid documents of each kind there are at least: those of
// libvirt 9.0.0, and for other releases, which have more or somewhat fewer,
// enough to notice that they are not found.
var floors = map[string]map[xmldoc.Kind]int{
	"9.0.0": {xmldoc.KindDomain: 2080, xmldoc.KindNetwork: 130, xmldoc.KindSnapshot: 26, xmldoc.KindVolume: 48, xmldoc.KindPool: 77},
	"":      {xmldoc.KindDomain: 1000, xmldoc.KindNetwork: 80, xmldoc.KindSnapshot: 15, xmldoc.KindVolume: 30, xmldoc.KindPool: 50},
}

func TestEveryValidDocumentOfLibvirtMakesTheRoundTrip(t *testing.T) {
	files := documents(t, libvirtFolder)
	bad := invalid(t, libvirtFolder, files)
	for _, f := range files {
		if reason, ok := bad[f.name]; ok {
			t.Logf("left out, libvirt's schema does not take it: %s: %s", f.name, reason)
		}
	}
	count := map[xmldoc.Kind]int{}
	corrected := 0
	for _, f := range files {
		if _, ok := bad[f.name]; ok {
			// It need not be read; but what is read is kept all the same.
			if _, err := document.Read(f.name, f.text, limits); err != nil {
				continue
			}
			if _, err := roundTrip(f); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		}
		doc, err := roundTrip(f)
		if reason, ok := leftOut[f.name]; ok {
			t.Logf("left out: %s: %s", f.name, reason)
			if err == nil {
				t.Errorf("%s makes the round trip, and is listed as left out", f.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		count[f.kind]++
		if bytes.Contains(doc.Value, []byte(`"other":[`)) {
			corrected++
		}
	}
	version, atLeast := expected(t)
	for _, kind := range xmldoc.Kinds {
		fmt.Printf("libvirt %s: %4d %ss are the same after XML, YAML, XML and after YAML, XML, YAML\n",
			version, count[kind], kind)
		if count[kind] < atLeast[kind] {
			t.Errorf("%d %ss, want at least %d", count[kind], kind, atLeast[kind])
		}
	}
	fmt.Printf("libvirt %s: %d of them say something by the key other; %d left out, %d not valid\n",
		version, corrected, len(leftOut), len(bad))
}

// expected is the version of libvirt whose documents are there, and how many of
// each kind there must be.
func expected(t *testing.T) (version string, atLeast map[xmldoc.Kind]int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(libvirtFolder, "version"))
	if err != nil {
		t.Fatal(err)
	}
	version = strings.TrimSpace(string(text))
	release, _, _ := strings.Cut(version, "-")
	if of, ok := floors[release]; ok {
		return version, of
	}
	return version, floors[""]
}

func TestEveryDocumentOfTheSampleMakesTheRoundTrip(t *testing.T) {
	files := documents(t, sampleFolder)
	for _, f := range files {
		if _, err := roundTrip(f); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	fmt.Printf("sample: %d documents are the same after XML, YAML, XML and after YAML, XML, YAML\n", len(files))
	if len(files) < 300 {
		t.Errorf("%d documents, want at least 300", len(files))
	}
}

// roundTrip goes from XML by YAML to XML, and from there to YAML again.
func roundTrip(f file) (*document.Document, error) {
	doc, err := document.Read(f.name, f.text, limits)
	if err != nil {
		return nil, err
	}
	// YAML as a person has it in a file, so that words such as yes, on and
	// 0123 are read by a YAML reader.
	inYAML, err := yaml.JSONToYAML(doc.Value)
	if err != nil {
		return nil, err
	}
	value, err := yaml.YAMLToJSONStrict(inYAML)
	if err != nil {
		return nil, err
	}
	text, errs := document.Write(f.kind, value, nil)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	if twice, errs := document.Write(f.kind, value, nil); len(errs) > 0 || !bytes.Equal(text, twice) {
		return nil, fmt.Errorf("written twice, it is not the same")
	}
	again, err := document.Read(f.name, text, limits)
	if err != nil {
		return nil, fmt.Errorf("reading it again: %w", err)
	}
	if differences := xmldoc.Compare(doc.XML, again.XML, document.Rules()); len(differences) > 0 {
		return nil, fmt.Errorf("line %d: %s", differences[0].Line, differences[0])
	}
	if !bytes.Equal(doc.Value, again.Value) {
		return nil, fmt.Errorf("in YAML it becomes\n%s\nand was\n%s", again.Value, doc.Value)
	}
	return doc, nil
}
