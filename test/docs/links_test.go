package docs

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"domus.dev/domus/test/internal/pages"
)

const root = "../.."

func read(t *testing.T) []*pages.Page {
	t.Helper()
	all, err := pages.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// target is the file in the project that a link of page leads to, and the anchor in
// it; the file is empty where the link leads out of the project.
func target(page *pages.Page, link pages.Link) (file, anchor string, err error) {
	u, err := url.Parse(link.Destination)
	if err != nil || u.Scheme != "" {
		return "", "", err
	}
	if u.Path == "" {
		return page.Path, u.Fragment, nil
	}
	return path.Join(path.Dir(page.Path), u.Path), u.Fragment, nil
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := read(t)
	byPath := map[string]*pages.Page{}
	for _, page := range all {
		byPath[page.Path] = page
	}
	for _, page := range all {
		for _, link := range page.Links {
			file, anchor, err := target(page, link)
			if err != nil {
				t.Errorf("%s:%d: link %s: %v", page.Path, link.Line, link.Destination, err)
				continue
			}
			if file == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s:%d: link %s leads nowhere: %s is not there", page.Path, link.Line, link.Destination, file)
				continue
			}
			if at := byPath[file]; anchor != "" && (at == nil || !at.Anchors[anchor]) {
				t.Errorf("%s:%d: link %s leads nowhere: %s has no heading %q", page.Path, link.Line, link.Destination, file, anchor)
			}
		}
	}
}

// The project's README and the map of the documentation lead to each page of it,
// straight or by other pages.
func TestEveryPageIsReached(t *testing.T) {
	all := read(t)
	byPath := map[string]*pages.Page{}
	for _, page := range all {
		byPath[page.Path] = page
	}
	reached := map[string]bool{}
	next := []string{"docs/README.md", "README.md"}
	for len(next) > 0 {
		page := byPath[next[0]]
		next = next[1:]
		if page == nil || reached[page.Path] {
			continue
		}
		reached[page.Path] = true
		for _, link := range page.Links {
			if file, _, err := target(page, link); err == nil {
				next = append(next, file)
			}
		}
	}
	for _, page := range all {
		if strings.HasPrefix(page.Path, "docs/") && !reached[page.Path] {
			t.Errorf("%s: nobody finds it: no page that docs/README.md or README.md leads to has a link to it", page.Path)
		}
	}
}
