package document

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"domus.dev/domus/pkg/convert/xmldoc"
)

// unreadable says why libvirtxml does not take a document, by where in its text
// it stopped.
func unreadable(doc *xmldoc.Document, offset int, cause error) error {
	e := stoppedAt(doc.Root, offset)
	out := &xmldoc.Error{File: doc.File, Line: e.Line, Column: e.Column, Element: e.Path(),
		Problem: "is not what libvirt takes here: " + cause.Error(), Remedy: "see https://libvirt.org/format.html"}
	number := &strconv.NumError{}
	if errors.As(cause, &number) {
		out.Element += attributeWith(e, number.Num)
		out.Problem = fmt.Sprintf("is %q, which is not a number that libvirt takes here", clip(number.Num))
		out.Remedy = "write a whole number in decimal digits"
		if errors.Is(number.Err, strconv.ErrRange) {
			out.Problem = fmt.Sprintf("is %q, which is too large a number", clip(number.Num))
			out.Remedy = "write a smaller one"
		}
	}
	return xmldoc.Errors{out}
}

// stoppedAt is the element whose start tag, or else whose end, is the last that
// was read before the offset.
func stoppedAt(e *xmldoc.Element, offset int) *xmldoc.Element {
	for _, c := range e.Children {
		switch {
		case c.End == offset:
			return c
		case c.Start < offset && offset < c.End:
			return stoppedAt(c, offset)
		}
	}
	return e
}

// attributeWith is /@name of the one attribute with the value, or nothing.
func attributeWith(e *xmldoc.Element, value string) string {
	name := ""
	for i := range e.Attributes {
		if strings.TrimSpace(e.Attributes[i].Value) == strings.TrimSpace(value) && isNumber(e, e.Attributes[i].Name) {
			if name != "" {
				return ""
			}
			name = "/@" + e.Attributes[i].Name
		}
	}
	return name
}

// clip keeps hostile text from filling an error.
func clip(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}
