package xmldoc

import (
	"strconv"
	"strings"
)

// Error says what is wrong with a document, where, and what to do about it.
type Error struct {
	// File is the document's name; it may be empty.
	File string
	// Line and Column count from 1; both are 0 where no place is to blame.
	Line, Column int
	// Element is the path of the element, as in Element.Path, with /@name for
	// an attribute; empty where none is to blame.
	Element string
	// Problem is half a sentence; Remedy is what to do next, and may be empty.
	Problem, Remedy string
}

// Error is one line: web.xml:12:5: domain/devices/disk[2]/@type: problem; remedy.
func (e *Error) Error() string {
	var out strings.Builder
	if e.File != "" {
		out.WriteString(e.File + ":")
	}
	if e.Line > 0 {
		if e.File == "" {
			out.WriteString("line ")
		}
		out.WriteString(strconv.Itoa(e.Line) + ":")
		if e.Column > 0 {
			out.WriteString(strconv.Itoa(e.Column) + ":")
		}
	}
	if out.Len() > 0 {
		out.WriteByte(' ')
	}
	if e.Element != "" {
		out.WriteString(e.Element + ": ")
	}
	out.WriteString(e.Problem)
	if e.Remedy != "" {
		out.WriteString(": " + e.Remedy)
	}
	return out.String()
}

// Errors is at least one error about one document, in the order of its lines.
type Errors []*Error

// Error has a line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// maxErrors bounds what one document can make us say.
const maxErrors = 50

// add keeps the list short, and on one document.
func (e *Errors) add(err *Error) {
	if len(*e) < maxErrors {
		*e = append(*e, err)
	}
}
