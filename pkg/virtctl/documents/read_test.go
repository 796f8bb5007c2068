package documents

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listed is each document as format, place and text.
func listed(documents []Document) []string {
	var out []string
	for _, d := range documents {
		out = append(out, fmt.Sprintf("%s %s %s", d.Format, d.String(), d.Text))
	}
	return out
}

func TestParseFindsEachDocument(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"XML":                   {"<domain/>", []string{"xml f <domain/>"}},
		"XML behind a mark":     {"\xef\xbb\xbf<domain/>", []string{"xml f <domain/>"}},
		"several of XML":        {"<domain/>\n<pool/>\n", []string{"xml f:1 <domain/>", "xml f:2 <pool/>"}},
		"YAML":                  {"# mine\nkind: A\n", []string{`yaml f {"kind":"A"}`}},
		"several of YAML":       {"kind: A\n---\nkind: B\n", []string{`yaml f:1 {"kind":"A"}`, `yaml f:2 {"kind":"B"}`}},
		"JSON":                  {"{\n\t\"kind\": \"A\"\n}", []string{`json f {"kind":"A"}`}},
		"several of JSON":       {"{\"kind\": \"A\"}\n\n{\"kind\": \"B\"}", []string{`json f:1 {"kind":"A"}`, `json f:3 {"kind":"B"}`}},
		"a list in YAML":        {"kind: List\nitems:\n- kind: A\n- kind: B\n", []string{`yaml f:3 {"kind":"A"}`, `yaml f:4 {"kind":"B"}`}},
		"a list in JSON":        {"{\"kind\": \"VirtualMachineList\", \"items\": [\n{\"kind\": \"A\"},\n{\"kind\": \"B\"}]}", []string{`json f:2 {"kind":"A"}`, `json f:3 {"kind":"B"}`}},
		"lists in a list":       {"kind: List\nitems:\n- kind: List\n  items: [{kind: A}]\n- kind: B\n", []string{`yaml f:4 {"kind":"A"}`, `yaml f:5 {"kind":"B"}`}},
		"an empty list":         {"kind: List\nitems: []\n", nil},
		"a list of no items":    {"kind: List\n", []string{`yaml f {"kind":"List"}`}},
		"an item by its anchor": {"kind: List\nitems:\n- &a {kind: A}\n- *a\n", []string{`yaml f:3 {"kind":"A"}`, `yaml f:3 {"kind":"A"}`}},
	} {
		got, err := Parse("f", []byte(test.text))
		if diff := cmp.Diff(test.want, listed(got)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestParseSaysWhatIsWrongAndReadsTheRest(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, test := range map[string]struct {
		text, err string
		rest      int
	}{
		"nothing":                {"", "f: is empty: give libvirt's XML", 0},
		"only comments":          {"# a\n---\n# b\n", "f: is empty", 0},
		"a disk image":           {"QFI\xfb\x00\x00\x00\x03", "f: is not text: give libvirt's XML", 0},
		"a list":                 {"- a\n", "f:1: is not a Kubernetes object", 0},
		"text":                   {"hello\n", "f:1: is not a Kubernetes object", 0},
		"YAML that is none":      {"kind: A\n---\nkind: B\na: b: c\n---\nkind: C\n", "f:4: is not YAML: mapping values are not allowed", 2},
		"a key given twice":      {"kind: A\nb: 1\nkind: B\n", `f:3: is not YAML: key "kind" already set in map`, 0},
		"JSON that breaks off":   {"{\"kind\": \"A\"}\n{\"kind\":\n\n", "f:4: is not JSON: unexpected end of JSON input", 1},
		"JSON with a wrong sign": {"{\n\"kind\":\n;}", "f:3: is not JSON: invalid character ';'", 0},
		"a bomb":                 {bomb, "f:1: is not YAML: document contains excessive aliasing", 0},
		"an item that is none":   {"kind: List\nitems:\n- kind: A\n- 7\n", "f:4: items[1]: is not a Kubernetes object", 1},
		"no end of items":        {"kind: List\nitems: &a [*a]\n", "is not YAML", 0},
	} {
		got, err := Parse("f", []byte(test.text))
		var p *Problem
		if err == nil || !strings.HasPrefix(err.Error(), test.err) && !strings.Contains(err.Error(), test.err) || !errors.As(err, &p) || len(got) != test.rest {
			t.Errorf("%s: %v with %d others, want %q with %d", name, err, len(got), test.err, test.rest)
		}
	}
}

func TestAProblemIsAtTheLineOfItsField(t *testing.T) {
	got, err := Parse("f", []byte("# mine\nkind: A\n---\nkind: B\nspec:\n  disks:\n  - name: a\n  - name: b\n    size: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, line := range map[string]int{
		"": 4, "kind": 4, "spec": 5, "spec.disks[1].size": 9, "spec.disks[0]": 7,
		"spec.disks[7]": 6, "spec.none.deeper": 5, "none": 4,
	} {
		if p := got[1].Problem(path, "is wrong"); p.Line != line {
			t.Errorf("%s", p)
		}
	}
}

func TestReadWalksFoldersInOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("qemu/web.xml", "<domain>web</domain>")
	write("qemu/db.XML", "<domain>db</domain>")
	write("qemu/networks/lan.xml", "<network/>")
	write("qemu/notes.txt", "no document")
	write("qemu/.hidden.xml", "no document")
	write("qemu/.git/x.xml", "<pool/>")
	write("one.yml", "kind: A")
	// As libvirt has it, and one that leads nowhere.
	if err := os.MkdirAll(filepath.Join(dir, "qemu/autostart"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"qemu/autostart/web.xml": "../web.xml", "qemu/gone.xml": "nowhere.xml"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read([]string{filepath.Join(dir, "qemu"), "-", filepath.Join(dir, "one.yml"), filepath.Join(dir, "none.yml")}, strings.NewReader("<pool/>\n<volume/>\n"))
	var names []string
	for _, d := range got {
		names = append(names, strings.TrimPrefix(d.String(), dir+"/"))
	}
	if diff := cmp.Diff([]string{"qemu/db.XML", "qemu/networks/lan.xml", "qemu/web.xml", "standard input:1", "standard input:2", "one.yml"}, names); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"qemu/gone.xml: no such file or directory", "none.yml: no such file or directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Read([]string{filepath.Join(dir, "qemu/.git")}, nil); err != nil {
		t.Errorf("a hidden folder that is named is read: %v", err)
	}
	if _, err := Read([]string{t.TempDir()}, nil); err == nil || !strings.Contains(err.Error(), "no file in it ends in .xml") {
		t.Errorf("an empty folder: %v", err)
	}
}

// endless never ends, as /dev/zero does not.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadEndsThoughAFileDoesNot(t *testing.T) {
	if _, err := Read([]string{"-"}, endless{}); err == nil || !strings.Contains(err.Error(), "at most 64 MiB") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("<domain/>\n<domain>"))
	f.Add([]byte("kind: List\nitems:\n- kind: A\n---\na: &a [*a]"))
	f.Add([]byte("{\"kind\":\"List\",\"items\":[{}]}{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		// What takes long is a finding.
		watchdog := time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("hangs on %q", text)) })
		documents, err := Parse("f", text)
		watchdog.Stop()
		for _, d := range documents {
			if d.Line < 1 || (d.Format == XML) != (d.Node == nil) {
				t.Fatalf("%+v", d)
			}
			_ = d.Problem("spec.a[0].b", "x").Error()
		}
		if err == nil && len(documents) == 0 && !strings.Contains(string(text), "ist") {
			t.Fatal("nothing, and no word of it")
		}
	})
}
