package objects_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/convert/xmldoc"
)

const page = "../../../docs/convert.md"

// sections are the kinds of the page: the document around a row, and what of it
// goes where the row says that itself.
var sections = map[string]struct {
	open, end string
	usual     []string
	// base is the object of the document without the row, in YAML.
	base string
	// rows and forms are how many rows and whole documents there are at least.
	rows, forms int
}{
	"VirtualMachine": {"<domain>", "</domain>", []string{"<name>a</name>", "<memory unit='KiB'>1048576</memory>", "<currentMemory unit='KiB'>1048576</currentMemory>", "<vcpu placement='static'>1</vcpu>"},
		`{metadata: {name: a}, spec: {resources: {cpu: 1, memory: 1Gi}}}`, 14, 3},
	"VirtualNetwork": {"<network>", "</network>", []string{"<name>a</name>"}, `{metadata: {name: a}}`, 17, 2},
	"VirtualDisk":    {"<volume>", "</volume>", []string{"<name>a</name>"}, `{metadata: {name: a}, spec: {}}`, 6, 2},
	"StoragePool":    {"<pool type='dir'>", "</pool>", []string{"<name>a</name>"}, `{metadata: {name: a}}`, 5, 2},
	"VirtualMachineSnapshot": {"<domainsnapshot>", "</domainsnapshot>", []string{"<name>a</name>"},
		`{metadata: {name: a}}`, 4, 2},
}

var (
	heading = regexp.MustCompile(`(?m)^## (.*)$`)
	row     = regexp.MustCompile("(?m)^\\| (?:`(<.*>)`)? ?\\| `(.*)` \\|$")
	fenced  = regexp.MustCompile("(?ms)^```(xml|yaml|json)\n(.*?)^```$")
	element = regexp.MustCompile(`^<([a-zA-Z]+)`)
)

// section is the text below a heading.
func section(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	places := heading.FindAllSubmatchIndex(text, -1)
	for i, place := range places {
		if string(text[place[2]:place[3]]) != name {
			continue
		}
		if i+1 < len(places) {
			return string(text[place[1]:places[i+1][0]])
		}
		return string(text[place[1]:])
	}
	t.Fatalf("the page has nothing of %s", name)
	return ""
}

func TestTheWholeDocumentsOfThePageAreTheSame(t *testing.T) {
	for kind, s := range sections {
		t.Run(kind, func(t *testing.T) {
			blocks := fenced.FindAllStringSubmatch(section(t, kind), -1)
			if len(blocks) != s.forms || blocks[0][1] != "xml" {
				t.Fatalf("%d forms", len(blocks))
			}
			obj := read(t, blocks[0][2])
			for _, block := range blocks[1:] {
				if diff := cmp.Diff(fields(t, indented(t, obj)), fields(t, block[2])); diff != "" && kind != "VirtualMachineSnapshot" {
					t.Errorf("%s: %s", block[1], diff)
				}
				same(t, blocks[0][2], write(t, parse(t, block[2])))
			}
		})
	}
}

func TestTheRowsOfThePageAreTheSame(t *testing.T) {
	for kind, s := range sections {
		t.Run(kind, func(t *testing.T) {
			rows := row.FindAllStringSubmatch(section(t, kind), -1)
			if len(rows) < s.rows {
				t.Errorf("found %d rows of %d", len(rows), s.rows)
			}
			for _, r := range rows {
				document := s.open
				for _, usual := range s.usual {
					if name := element.FindString(usual); !beginsWith(r[1], name) {
						document += usual
					}
				}
				document += r[1] + s.end
				want := fields(t, s.base)
				merge(want, fields(t, r[2]))
				want["apiVersion"], want["kind"] = "domus.dev/v1alpha1", kind
				if diff := cmp.Diff(want, fields(t, indented(t, read(t, document)))); diff != "" {
					t.Errorf("%s: %s", r[1], diff)
				}
				raw, err := json.Marshal(want)
				if err != nil {
					t.Fatal(err)
				}
				same(t, document, write(t, parse(t, string(raw))))
			}
		})
	}
}

// beginsWith says whether an element, or the one behind it, begins so: <memory
// is in <memory unit='KiB'> and not in <memoryBacking>.
func beginsWith(row, name string) bool {
	return regexp.MustCompile(`^(<memory [^/]*/memory>)?` + name + `[ >]`).MatchString(row)
}

// merge lays an object over another.
func merge(under, over map[string]any) {
	for key, value := range over {
		mine, ok := under[key].(map[string]any)
		theirs, both := value.(map[string]any)
		if ok && both {
			merge(mine, theirs)
			continue
		}
		under[key] = value
	}
}

func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// same expects the same document.
func same(t *testing.T, want, got string) {
	t.Helper()
	first, err := xmldoc.Parse("page", []byte(want), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := xmldoc.Parse("written", []byte(got), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range xmldoc.Compare(first, second, document.Rules()) {
		t.Errorf("%s: %s", want, d)
	}
	if strings.Contains(got, objects.MemoNamespace) {
		t.Errorf("libvirt has no words for part of it: %s", got)
	}
}
