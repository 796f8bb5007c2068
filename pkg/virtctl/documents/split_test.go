package documents

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shown is a chunk as a test writes it: its line and its text.
func shown(chunks []chunk) []string {
	var out []string
	for _, c := range chunks {
		out = append(out, fmt.Sprintf("%d %s", c.line, c.text))
	}
	return out
}

func TestXMLIsPartedWhereDocumentsBegin(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"one":                  {"<domain/>\n", []string{"1 <domain/>"}},
		"none":                 {" \n", nil},
		"nothing but comments": {"<!-- a -->\n<!-- b -->\n", nil},
		"one after another, as virsh writes them": {"<domain>\n <a/>\n</domain>\n\n<domain/>\n\n", []string{"1 <domain>\n <a/>\n</domain>", "5 <domain/>"}},
		"on one line":                 {"<domain/><network/>", []string{"1 <domain/>", "1 <network/>"}},
		"each with a prologue":        {"<?xml version='1.0'?>\n<domain/>\n<?xml version='1.0'?>\n<pool/>", []string{"1 <?xml version='1.0'?>\n<domain/>", "3 <?xml version='1.0'?>\n<pool/>"}},
		"a comment before and behind": {"<!-- made by libvirt -->\n<domain/>\n<!-- end -->", []string{"1 <!-- made by libvirt -->\n<domain/>"}},
		"a root within another":       {"<domainsnapshot>\n <domain/>\n</domainsnapshot>\n<domain/>", []string{"1 <domainsnapshot>\n <domain/>\n</domainsnapshot>", "4 <domain/>"}},
		"a truncated one first":       {"<domain>\n <devices>\n<domain>\n</domain>\n", []string{"1 <domain>\n <devices>", "3 <domain>\n</domain>"}},
		"a truncated one last":        {"<domain/>\n<domain>\n <devices>", []string{"1 <domain/>", "2 <domain>\n <devices>"}},
		"cut within a tag":            {"<domain>\n <a b='\n<network/>", []string{"1 <domain>\n <a b='", "3 <network/>"}},
		"an entity nobody knows":      {"<domain>&x;</domain>\n<pool/>", []string{"1 <domain>&x;</domain>", "2 <pool/>"}},
		"text behind":                 {"<domain/>\nrubbish\n", []string{"1 <domain/>", "2 rubbish"}},
		"text between":                {"<domain/>\nrubbish\n<pool/>", []string{"1 <domain/>", "2 rubbish\n<pool/>"}},
		"an end without a beginning":  {"</domain>\n<pool/>", []string{"1 </domain>", "2 <pool/>"}},
		"another root":                {"<domains>\n<domain/>\n</domains>", []string{"1 <domains>\n<domain/>\n</domains>"}},
	} {
		if diff := cmp.Diff(test.want, shown(splitXML([]byte(test.text)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A file that nobody vouches for is parted in a time that grows with its size.
func TestXMLThatNeverEndsIsParted(t *testing.T) {
	begun := time.Now()
	if got := splitXML([]byte(strings.Repeat("<domain>\n", 300))); len(got) != 300 {
		t.Errorf("%d documents", len(got))
	}
	if got := splitXML([]byte("<domain>" + strings.Repeat("<a>", 8<<20) + "\n<domain/>")); len(got) != 2 || string(got[1].text) != "<domain/>" {
		t.Errorf("%d documents", len(got))
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestYAMLIsPartedAtItsMarks(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"one":                     {"a: 1\n", []string{"1 a: 1"}},
		"several":                 {"---\na: 1\n---\nb: 2\n", []string{"1    \na: 1", "3    \nb: 2"}},
		"nothing but comments":    {"# a\n---\n# b\n---\n\n", nil},
		"an end mark":             {"a: 1\n...\nb: 2\n", []string{"1 a: 1", "3 b: 2"}},
		"what is beside the mark": {"--- {a: 1}\n", []string{"1     {a: 1}"}},
		"dashes in text":          {"a: |\n  ---\n  x\nb: ---x\n", []string{"1 a: |\n  ---\n  x\nb: ---x"}},
	} {
		if diff := cmp.Diff(test.want, shown(splitYAML([]byte(test.text)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestJSONIsPartedAtItsEnds(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"one":            {"{}\n", []string{"1 {}"}},
		"several":        {"{\n}\n{}", []string{"1 {\n}", "3 {}"}},
		"a broken last":  {"{}\n{\"a\":", []string{"1 {}", "2 {\"a\":"}},
		"a broken first": {"{,}\n{}", []string{"1 {,}\n{}"}},
	} {
		if diff := cmp.Diff(test.want, shown(splitJSON([]byte(test.text)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
