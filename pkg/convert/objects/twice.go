package objects

import (
	"fmt"
	"slices"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// onlyOnce are the elements below the root of which libvirt reads the first and
// passes over the others, and by which an object is told from others or sized.
// libvirtxml reads the last.
var onlyOnce = []string{"name", "uuid", "title", "description", "memory", "currentMemory", "maxMemory", "vcpu"}

// checkTwice refuses a document that says such a thing twice: one of the two was
// not meant.
func checkTwice(doc *document.Document) error {
	var errs xmldoc.Errors
	first := map[string]*xmldoc.Element{}
	for _, e := range doc.XML.Root.Children {
		if e.Space != "" || !slices.Contains(onlyOnce, e.Local) {
			continue
		}
		if before := first[e.Local]; before != nil {
			errs = append(errs, &xmldoc.Error{File: doc.XML.File, Line: e.Line, Column: e.Column, Element: doc.XML.Root.Path() + "/" + e.Local,
				Problem: fmt.Sprintf("is there twice, first in column %d of line %d", before.Column, before.Line),
				Remedy:  "libvirt takes the first: leave one of them"})
			continue
		}
		first[e.Local] = e
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
