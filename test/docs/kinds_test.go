package docs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins"
	"domus.dev/domus/test/internal/pages"
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Each kind and each plugin has a page of its own, or a guide that shows it.
func TestEachKindAndPluginIsExplained(t *testing.T) {
	want := map[string]string{}
	for kind, of := range scheme(t).KnownTypes(v1alpha1.GroupVersion) {
		if of.PkgPath() == reflect.TypeFor[v1alpha1.VirtualMachine]().PkgPath() && !strings.HasSuffix(kind, "List") {
			want["docs/kinds/"+strings.ToLower(kind)+".md"] = "\nkind: " + kind + "\n"
		}
	}
	for name := range plugins.Registry(nil, nil, nil, nil) {
		want["docs/plugins/"+strings.ToLower(name)+".md"] = "- name: " + name + "\n"
	}
	if len(want) < 21 {
		t.Errorf("%d kinds and plugins were found, and there are more", len(want))
	}
	all := read(t)
	for name, example := range want {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			continue
		}
		shown := slices.ContainsFunc(all, func(p *pages.Page) bool {
			return strings.HasPrefix(p.Path, "docs/") && strings.Contains(p.Text, example)
		})
		if !shown {
			t.Errorf("%s is missing, and no page has an example", name)
		}
	}
}

// Examples of the project's kinds have the fields that the kinds have.
func TestExamplesAreWhatTheKindsHave(t *testing.T) {
	types := scheme(t)
	seen := map[string]int{}
	for _, page := range read(t) {
		for _, b := range page.Blocks {
			if b.Language != "yaml" || strings.HasPrefix(b.Comment, "not whole: ") {
				continue
			}
			documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(b.Content())))
			for {
				document, err := documents.Read()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Errorf("%s:%d: %v", page.Path, b.Line, err)
					break
				}
				kind, err := example(types, document)
				if err != nil {
					t.Errorf("%s:%d: %v", page.Path, b.Line, err)
				}
				seen[kind]++
			}
		}
	}
	delete(seen, "")
	if len(seen) < 8 {
		t.Errorf("examples of %v alone were found", slices.Sorted(maps.Keys(seen)))
	}
}

// example reads a document strictly, if it is one of the project's kinds.
func example(types *runtime.Scheme, document []byte) (string, error) {
	var meta struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(bytes.TrimSpace(document), &meta); err != nil {
		return "", err
	}
	if meta.APIVersion != v1alpha1.GroupVersion.String() {
		return "", nil
	}
	object, err := types.New(v1alpha1.GroupVersion.WithKind(meta.Kind))
	if err != nil {
		return meta.Kind, err
	}
	return meta.Kind, yaml.UnmarshalStrict(document, object)
}
