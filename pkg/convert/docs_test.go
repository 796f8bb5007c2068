package convert_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert"
)

var empty = regexp.MustCompile(`></[a-z]+>`)

func TestTheExampleOfThePageIsWhatIsWritten(t *testing.T) {
	const page = "../../docs/numa.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	domain, err := convert.Domain(placed(t, block(t, string(text), "yaml"), ""))
	if err != nil {
		t.Fatal(err)
	}
	document, err := convert.Marshal(domain)
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Split(empty.ReplaceAllString(document, "/>"), "\n")
	for line := range strings.Lines(block(t, string(text), "xml")) {
		line = "  " + strings.TrimSuffix(line, "\n")
		for len(rest) > 0 && rest[0] != line {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			t.Fatalf("%s: line %q is missing, or elsewhere, in\n%s", page, line, document)
		}
		rest = rest[1:]
	}
}

// block is the first fenced block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, "```"+language+"\n")
	inside, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatalf("the page has no block of %s", language)
	}
	return inside
}
