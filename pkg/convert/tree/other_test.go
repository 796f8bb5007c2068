package tree_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/tree"
)

func TestCorrectionsStayWithTheirObjects(t *testing.T) {
	const raw = `{"title":"a","devices":{"disks":[{"device":"disk"},{"device":"cdrom","source":{"file":{"file":"/x"},` +
		`"other":[{"text":""}]},"other":[{"attributes":{"colour":"red"}},{"at":"target[2]","omit":["@dev"]}]}]},` +
		`"other":[{"elements":["<later a='1'/>"]}]}`
	domain, others, errs := tree.DecodeAll[libvirtxml.Domain]([]byte(raw), at)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	want := tree.Others{
		"":                        {{Elements: []string{"<later a='1'/>"}}},
		"devices.disks[1]":        {{Attributes: map[string]string{"colour": "red"}}, {At: "target[2]", Omit: []string{"@dev"}}},
		"devices.disks[1].source": {{Text: new(string)}},
	}
	if diff := cmp.Diff(want, others); diff != "" {
		t.Error(diff)
	}
	back, err := tree.EncodeAll(domain, others)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(raw, string(back)); diff != "" {
		t.Error(diff)
	}
	delete(others, "")
	others["devices.disks[7]"] = want[""]
	if _, err := tree.EncodeAll(domain, others); err == nil || !strings.Contains(err.Error(), "1 corrections are of no object in it") {
		t.Errorf("got %v", err)
	}
}

func TestCorrectionsAreReadStrictly(t *testing.T) {
	for raw, want := range map[string]string{
		`{"other": {}}`:                                      "spec.domain.other: Invalid value: must be a list of at least one",
		`{"other": []}`:                                      "spec.domain.other: Invalid value: must be a list of at least one",
		`{"other": null}`:                                    "spec.domain.other: Invalid value: null: must be a list of at least one",
		`{"other": [{"colour": "red"}]}`:                     "spec.domain.other: Invalid value: must be a list of objects with the keys at, attributes, text, elements, omit: ",
		`{"other": [{"attributes": {"a":1}}]}`:               "spec.domain.other: Invalid value: must be a list of objects",
		`{"devices": {"disks": [{"other": [7]}]}}`:           "spec.domain.devices.disks[0].other: Invalid value: must be a list of objects",
		`{"features": {"acpi": {"other": [{"text": "a"}]}}}`: "spec.domain.features.acpi: Invalid value: must be true",
	} {
		_, _, errs := tree.DecodeAll[libvirtxml.Domain]([]byte(raw), at)
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("%s: got %v\nwant %s", raw, errs, want)
		}
	}
	// Who asks for the struct alone does not lose what it cannot hold.
	if _, errs := tree.Decode[libvirtxml.Domain]([]byte(`{"other": [{"text": "a"}]}`), at); len(errs) != 1 ||
		!strings.HasPrefix(errs[0].Error(), "spec.domain.other: Invalid value: unknown key") {
		t.Errorf("got %v", errs)
	}
}

func TestObjectsLeadToTheirElements(t *testing.T) {
	text, err := os.ReadFile("testdata/domain-pc.xml")
	if err != nil {
		t.Fatal(err)
	}
	var domain libvirtxml.Domain
	if err := xml.Unmarshal(text, &domain); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range tree.Objects(&domain) {
		got[o.Path] = o.Element
	}
	for path, want := range map[string]string{
		"":                        "",
		"os.type":                 "os[1]/type[1]",
		"devices.disks[1].source": "devices[1]/disk[2]/source[1]",
		"devices.controllers[0]":  "devices[1]/controller[1]",
	} {
		if got[path] != want {
			t.Errorf("%s is at %q, want %q of %s", path, got[path], want, fmt.Sprint(got))
		}
	}
	if _, ok := got["devices.disks[1].source.file"]; ok {
		t.Error("a variant is listed beside the choice that has its element")
	}
}
