package intake

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var updatePage = flag.Bool("update-page", false, "write the table of the page anew")

func TestThePageHasWhatIsOfOneRun(t *testing.T) {
	const page = "../../../docs/convert.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| of one run, or of its host | why it goes |\n|---|---|\n")
	for _, rule := range ofOneRun {
		what := "`" + rule.pattern + "`"
		if rule.when != "" {
			what += " " + rule.when
		}
		table.WriteString("| " + what + " | " + rule.why + " |\n")
	}
	before, rest, _ := strings.Cut(string(text), "<!-- begin run -->\n")
	have, after, found := strings.Cut(rest, "<!-- end run -->")
	if !found {
		t.Fatal("the page has no place for the table")
	}
	if have == table.String() {
		return
	}
	if !*updatePage {
		t.Fatalf("the table of %s is not that of the code: run go test ./pkg/convert/intake -update-page", page)
	}
	if err := os.WriteFile(page, []byte(before+"<!-- begin run -->\n"+table.String()+"<!-- end run -->"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
