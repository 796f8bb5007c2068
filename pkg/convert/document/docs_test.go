package document_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

var example = regexp.MustCompile("(?s)`(<disk [^`]*</disk>)` is\n\n```yaml\n(.*?)```")

func TestTheExampleOfOtherOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/domain-yaml.md")
	if err != nil {
		t.Fatal(err)
	}
	found := example.FindStringSubmatch(string(page))
	if found == nil {
		t.Fatal("the page has no example")
	}
	doc, err := document.Read("", []byte("<domain><devices>"+found[1]+"</devices></domain>"), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	indented := "devices:\n  disks:\n  - " + strings.ReplaceAll(strings.TrimSpace(found[2]), "\n", "\n    ")
	want, err := yaml.YAMLToJSON([]byte(indented))
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.JSONToYAML(doc.Value)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.YAMLToJSON(inYAML)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}
