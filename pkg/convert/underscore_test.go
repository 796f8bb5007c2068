package convert_test

import (
	"encoding/xml"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// A domain as it was written in 2019, and what libvirt had said. What its
// writers took for numbers is named, and nothing else.
func TestUnderscoreStyleIsReadAsTheXMLItWasMadeOf(t *testing.T) {
	document, err := os.ReadFile("testdata/underscore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !convert.IsUnderscoreStyle(node(t, document)) {
		t.Fatal("it is not known again")
	}
	got, err := convert.ReadUnderscoreStyle(node(t, document))
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != "domain" || got.Name != "web-1" {
		t.Errorf("root %q, name %q", got.Root, got.Name)
	}
	if diff := cmp.Diff([]string{"nodeName", "lifecycle"}, got.Ignored); diff != "" {
		t.Errorf("ignored: %s", diff)
	}
	want, err := os.ReadFile("testdata/underscore.xml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(domainTree(t, want), domainTree(t, got.XML)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]convert.UnderscoreNumber{
		{Path: "spec.domain.devices.disk[1].serial.text", Text: "123", Line: 58},
		{Path: "spec.domain.devices.graphics._passwd", Text: "42", Line: 74},
	}, got.Doubtful); diff != "" {
		t.Errorf("doubtful: %s", diff)
	}
}

// node is a document in YAML or JSON; nil for none.
func node(t *testing.T, document []byte) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(document, &n); err != nil {
		t.Fatal(err)
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n.Content[0]
}

func domainTree(t *testing.T, document []byte) string {
	t.Helper()
	var d libvirtxml.Domain
	if err := xml.Unmarshal(document, &d); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	raw, err := tree.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(raw), ",", ",\n")
}

func TestUnderscoreStyleInJSON(t *testing.T) {
	got, err := convert.ReadUnderscoreStyle(node(t, []byte("{\n \"metadata\": {\"name\": \"lan\"},\n\t\"spec\": {\"network\": {\"name\": {\"text\": \"lan \\u003c 1\"},\n \"ip\": [{\"_address\": \"192.0.2.1\"}, {\"_address\": \"198.51.100.1\"}], \"forward\": {}, \"dns\": null}}}")))
	if err != nil {
		t.Fatal(err)
	}
	const want = `<network><name>lan &lt; 1</name><ip address="192.0.2.1"/><ip address="198.51.100.1"/><forward/><dns></dns></network>`
	if string(got.XML) != want || got.Root != "network" || got.Name != "lan" {
		t.Errorf("%s %s\n%s\nwant\n%s", got.Root, got.Name, got.XML, want)
	}
}

func TestWhatIsNotOfTheUnderscoreStyle(t *testing.T) {
	for name, document := range map[string]string{
		"the style of today":  "spec: {domain: {title: x, devices: {disks: [{target: {dev: vda}}]}}}",
		"a list":              "[]",
		"no spec":             "domain: {_type: kvm}",
		"a Pod":               "kind: Pod\nspec: {containers: [{_x: y}]}",
		"empty":               "",
		"libvirt's own XML":   "<domain/>",
		"an object elsewhere": "spec: {domain: {}, lifecycle: {_x: y}}",
	} {
		if convert.IsUnderscoreStyle(node(t, []byte(document))) {
			t.Errorf("%s is taken for it", name)
		}
	}
}

func TestUnderscoreStyleSaysWhatIsWrongAndWhere(t *testing.T) {
	for name, test := range map[string]struct {
		document, want string
		line           int
	}{
		"text beside elements":         {"spec:\n  domain:\n    _type: kvm\n    text: x\n    name: {text: a}", "spec.domain.text: stands beside elements", 4},
		"a name that is no element":    {"spec:\n  domain:\n    _type: kvm\n    a<b: {text: x}", `"a<b" cannot be the name of an element`, 4},
		"a name that is no attribute":  {"spec:\n  domain:\n    _a b: kvm", `"a b" cannot be the name of an attribute`, 3},
		"a list in a list":             {"spec:\n  domain:\n    _type: kvm\n    devices: {disk: [[{_type: file}]]}", "spec.domain.devices.disk[0]: must not be a list", 4},
		"a key given twice":            {"spec:\n  domain:\n    name: {text: a}\n    name: {text: b}", "spec.domain.name: is given twice", 4},
		"an alias":                     {"spec:\n  domain:\n    _type: kvm\n    name: &a {text: a}\n    title: *a", "aliases are not followed", 5},
		"a character that XML has not": {"spec:\n  domain:\n    name: {text: \"a\\u0001\"}", "U+0001", 3},
	} {
		_, err := convert.ReadUnderscoreStyle(node(t, []byte(test.document)))
		var at *xmldoc.Error
		if !errors.As(err, &at) || at.Line != test.line || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q at line %d", name, err, test.want, test.line)
		}
	}
	deep := "spec: {domain: " + strings.Repeat("{a: ", 200) + "{_x: y}" + strings.Repeat("}", 200) + "}"
	if _, err := convert.ReadUnderscoreStyle(node(t, []byte(deep))); err == nil || !strings.Contains(err.Error(), "64 levels") {
		t.Errorf("nested 200 deep: %v", err)
	}
}

// No document makes XML that cannot be read, or more of it than it says.
func FuzzReadUnderscoreStyle(f *testing.F) {
	f.Add([]byte("spec: {domain: {_type: kvm, name: {text: '<a>&'}, devices: {disk: [{_type: file}, {}]}}}"))
	f.Add([]byte(`{"spec": {"pool": {"_type": "dir", "x:y": {"_z": "\""}}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		var n yaml.Node
		if yaml.Unmarshal(document, &n) != nil || len(n.Content) == 0 {
			return
		}
		convert.IsUnderscoreStyle(n.Content[0])
		got, err := convert.ReadUnderscoreStyle(n.Content[0])
		if err != nil {
			return
		}
		var any struct {
			XMLName xml.Name
		}
		if err := xml.Unmarshal(got.XML, &any); err != nil || any.XMLName.Local != got.Root {
			t.Fatalf("%v: %q", err, got.XML)
		}
	})
}
