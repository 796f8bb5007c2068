package policy

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables of docs/policy.md anew")

const page = "../../docs/policy.md"

func TestThePageSaysWhatTheTablesSay(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for section, table := range map[string]string{
		"owned":     ownedTable(),
		"domain":    entryTable(restrictedDomain),
		"devices":   entryTable(restrictedDevices),
		"rules":     ruleTable(),
		"resources": resourceTable(),
	} {
		begin, end := fmt.Sprintf("<!-- begin %s -->\n", section), fmt.Sprintf("<!-- end %s -->", section)
		before, rest, found := strings.Cut(want, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no section %s", page, section)
		}
		want = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s (write it anew with -update): %s", page, diff)
	}
}

func ownedTable() string {
	var out strings.Builder
	out.WriteString("| not here | because |\n|---|---|\n")
	paths := make([]string, 0, len(owned))
	for path := range owned {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		fmt.Fprintf(&out, "| `%s` | %s |\n", path, owned[path])
	}
	return out.String()
}

func entryTable(entries []entry) string {
	var out strings.Builder
	out.WriteString("| in | allowed | what for |\n|---|---|---|\n")
	for _, e := range entries {
		at := "the domain"
		if e.at != "" {
			at = "`" + e.at + "`"
		}
		fmt.Fprintf(&out, "| %s | `%s` | %s |\n", at, strings.Join(strings.Fields(e.keys), "` `"), e.why)
	}
	return out.String()
}

func ruleTable() string {
	var out strings.Builder
	out.WriteString("| rule | why |\n|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&out, "| %s | %s |\n", r.says, r.why)
	}
	return out.String()
}

func resourceTable() string {
	var out strings.Builder
	out.WriteString("| rule | why |\n|---|---|\n")
	for _, r := range resourceRules {
		fmt.Fprintf(&out, "| %s | %s |\n", r.says, r.why)
	}
	return out.String()
}
