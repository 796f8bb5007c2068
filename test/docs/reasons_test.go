package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// said are the values of constants of the API whose names begin with one of the
// prefixes, by name.
func said(t *testing.T, prefixes ...string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "pkg/api/v1alpha1/*_types.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("looking for the API's types: %v, %d files", err, len(files))
	}
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, is := node.(*ast.ValueSpec)
			if !is || len(spec.Names) != len(spec.Values) {
				return true
			}
			for i, ident := range spec.Names {
				literal, is := spec.Values[i].(*ast.BasicLit)
				if !is || literal.Kind != token.STRING {
					continue
				}
				for _, prefix := range prefixes {
					if strings.HasPrefix(ident.Name, prefix) {
						if out[ident.Name], err = strconv.Unquote(literal.Value); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			return true
		})
	}
	return out
}

// Whoever sees a condition's type or its reason finds it on a page that a person wrote.
func TestEveryReasonIsExplained(t *testing.T) {
	var written strings.Builder
	for _, page := range read(t) {
		if strings.HasPrefix(page.Path, "docs/") && !strings.HasPrefix(page.Path, "docs/reference/") && !strings.HasPrefix(page.Path, "docs/adr/") {
			written.WriteString(page.Text)
		}
	}
	text := written.String()
	reasons := said(t, "Reason", "Condition", "Hypervisor")
	if len(reasons) < 90 {
		t.Fatalf("%d reasons and conditions were found in the API, and there are more", len(reasons))
	}
	for name, value := range reasons {
		if !regexp.MustCompile("`" + regexp.QuoteMeta(value) + "[`=]").MatchString(text) {
			t.Errorf("%s: no page in docs explains `%s`: docs/troubleshooting.md is for what a person has to act upon, docs/kinds for the rest", name, value)
		}
	}
}
