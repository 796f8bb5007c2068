// Package documents reads what virtctl's commands are given in files: libvirt's
// XML and Kubernetes' YAML and JSON, one document or many in each, with the places
// where they stand.
package documents

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Format is how a document is written.
type Format string

// The formats.
const (
	XML  Format = "xml"
	YAML Format = "yaml"
	JSON Format = "json"
)

// Document is one of a file.
type Document struct {
	// Source is the file as the user named it, "standard input", or what else the
	// document is from.
	Source string
	// Line is where it begins in there, from 1; 0 where nobody reads lines.
	Line int
	// Alone says that nothing else is in there.
	Alone  bool
	Format Format
	// Text is XML, or the JSON of an object.
	Text []byte
	// Node is the object as it is written, scalars as they are, lines from 1 in
	// Source; nil for XML.
	Node *yaml.Node
}

// String is the document's source, and its line where there are several.
func (d *Document) String() string {
	if d.Alone || d.Line == 0 {
		return d.Source
	}
	return fmt.Sprintf("%s:%d", d.Source, d.Line)
}

// Problem is what is wrong with a document, where, and what to do.
type Problem struct {
	// Source is as in Document.
	Source string
	// Line is in Source, from 1; 0 where it is not known.
	Line int
	// Path is a field's path, such as spec.domain.devices.disks[0]; it may be
	// empty.
	Path string
	// Text says what is wrong and what to do.
	Text string
}

// Error is source:line: path: text.
func (p *Problem) Error() string {
	out := p.Source + ": "
	if p.Line > 0 {
		out = fmt.Sprintf("%s:%d: ", p.Source, p.Line)
	}
	if p.Path != "" {
		out += p.Path + ": "
	}
	return out + p.Text
}

// Problem is one with the document, at the line of the field at path, or of what
// is nearest above it.
func (d *Document) Problem(path, format string, args ...any) *Problem {
	p := &Problem{Source: d.Source, Line: d.Line, Path: path, Text: fmt.Sprintf(format, args...)}
	if line := lineOf(d.Node, path); line > 0 {
		p.Line = line
	}
	return p
}

// lineOf finds where the field at a path such as spec.disks[0].name is written;
// where it is not, where what is nearest above it is. It is 0 for no node.
func lineOf(n *yaml.Node, path string) int {
	if n == nil {
		return 0
	}
	line := n.Line
	for step := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					line, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			var index int
			if _, err := fmt.Sscanf(step, "%d", &index); err == nil && index >= 0 && index < len(n.Content) {
				next = n.Content[index]
				line = next.Line
			}
		}
		if next == nil {
			return line
		}
		n = next
	}
	return line
}
