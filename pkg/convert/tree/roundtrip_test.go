package tree_test

import (
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/tree"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestLibvirtDocumentsSurviveTheWayThereAndBack(t *testing.T) {
	t.Run("domain-pc", roundTrip[libvirtxml.Domain])
	t.Run("domain-arm", roundTrip[libvirtxml.Domain])
	t.Run("network", roundTrip[libvirtxml.Network])
	t.Run("pool", roundTrip[libvirtxml.StoragePool])
	t.Run("volume", roundTrip[libvirtxml.StorageVolume])
}

// roundTrip reads the XML named after the test, compares its YAML with the
// golden file, and expects the same struct and the same XML back from it.
func roundTrip[T any](t *testing.T) {
	base := filepath.Join("testdata", filepath.Base(t.Name()))
	text, err := os.ReadFile(base + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	var doc T
	if err := xml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	raw, err := tree.Encode(&doc)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, base+".yaml", raw)

	back, errs := tree.Decode[T](raw, nil)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	names := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type().String() == "xml.Name" }, cmp.Ignore())
	if diff := cmp.Diff(&doc, back, names); diff != "" {
		t.Error(diff)
	}
	want, err := xml.MarshalIndent(&doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got, err := xml.MarshalIndent(back, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	if errs := tree.Lost(back, nil); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
}

func golden(t *testing.T, file string, raw []byte) {
	t.Helper()
	got, err := yaml.JSONToYAML(raw)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (write it anew with -update): %s", file, diff)
	}
}

func TestEncodeRefusesWhatXMLWouldDrop(t *testing.T) {
	tests := map[string]struct {
		doc  any
		want string
	}{
		"two variants of one choice": {
			doc: &libvirtxml.DomainDisk{Source: &libvirtxml.DomainDiskSource{
				File: &libvirtxml.DomainDiskSourceFile{}, Volume: &libvirtxml.DomainDiskSourceVolume{},
			}},
			want: "encoding *libvirtxml.DomainDisk: source: file and volume are both set: only one may be",
		},
		"text that is not UTF-8": {
			doc:  &libvirtxml.Domain{Title: "\xff"},
			want: `encoding *libvirtxml.Domain: title: "\xff" is not UTF-8 text`,
		},
		"no document": {doc: (*libvirtxml.Domain)(nil), want: "encoding *libvirtxml.Domain: it is nil"},
		"no struct":   {doc: 7, want: "encoding int: it is not a libvirtxml document"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := tree.Encode(test.doc); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestLostNamesWhatTheXMLCannotHold(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want string
	}{
		"a variant of another type of controller": {
			raw:  `{"devices": {"controllers": [{"type": "usb", "pci": {"model": {"name": "x"}}}]}}`,
			want: "spec.domain.devices.controllers[0].pci: Invalid value: has no place in libvirt's XML here",
		},
		"graphics of no kind": {
			raw:  `{"devices": {"graphics": [{"audio": {"id": 1}}]}}`,
			want: "spec.domain.devices.graphics: Invalid value: has no place in libvirt's XML here",
		},
		"an interface of no kind": {
			raw:  `{"devices": {"interfaces": [{"source": {}}]}}`,
			want: "spec.domain: Invalid value: makes libvirt XML that cannot be read again: Missing interface type attribute",
		},
		"an object in which nothing is set loses nothing": {
			raw: `{"devices": {"controllers": [{"type": "pci", "pci": {}}], "rngs": [{"backend": {"builtIn": true}}]}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			doc, errs := tree.Decode[libvirtxml.Domain]([]byte(test.raw), at)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			var got []string
			for _, err := range tree.Lost(doc, at) {
				got = append(got, err.Error())
			}
			if all := strings.Join(got, "\n"); !strings.HasPrefix(all, test.want) || (all == "") != (test.want == "") {
				t.Errorf("got %s\nwant %s", all, test.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"vcpu": {"value": 4}, "devices": {"disks": [{"source": {"file": {"file": "/x"}}}]}}`))
	f.Add([]byte(`{"features": {"acpi": true}, "title": "\u0000"}`))
	f.Add([]byte(`[[[[{"a":null}]]]]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, errs := tree.Decode[libvirtxml.Domain](raw, at)
		if len(errs) > 0 {
			return
		}
		// What is accepted can be written, and reads as the same again.
		again, err := tree.Encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		back, errs := tree.Decode[libvirtxml.Domain](again, at)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		if diff := cmp.Diff(doc, back); diff != "" {
			t.Fatal(diff)
		}
		tree.Lost(doc, at)
		tree.Walk(doc, at, func(string, *field.Path) bool { return true })
	})
}
