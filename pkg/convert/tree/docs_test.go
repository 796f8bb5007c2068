package tree_test

import (
	"encoding/xml"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/tree"
)

var row = regexp.MustCompile("(?m)^\\| `(<.*>)` \\| `(.*)` \\|$")

func TestTheRowsOfThePageSayTheSameInXMLAndYAML(t *testing.T) {
	page, err := os.ReadFile("../../../docs/domain-yaml.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := row.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 10 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, r := range rows {
		var fromXML libvirtxml.Domain
		if err := xml.Unmarshal([]byte("<domain>"+r[1]+"</domain>"), &fromXML); err != nil {
			t.Errorf("%s: %v", r[1], err)
			continue
		}
		raw, err := yaml.YAMLToJSON([]byte(r[2]))
		if err != nil {
			t.Errorf("%s: %v", r[2], err)
			continue
		}
		fromYAML, errs := tree.Decode[libvirtxml.Domain](raw, nil)
		if len(errs) > 0 {
			t.Errorf("%s: %v", r[2], errs.ToAggregate())
			continue
		}
		want, err := fromXML.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := fromYAML.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", r[2], diff)
		}
	}
}
