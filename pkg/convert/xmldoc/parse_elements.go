package xmldoc

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// xmlSpace is what the prefix xml stands for without being declared.
const xmlSpace = "http://www.w3.org/XML/1998/namespace"

func (p *parser) startElement(t xml.StartElement, start, end int) bool {
	e := &Element{
		Name: qualified(t.Name), Local: t.Name.Local, Parent: p.open, doc: p.doc,
		Start: start, End: end, InnerStart: end, InnerEnd: end,
	}
	e.Line, e.Column = p.lines.position(start)
	if p.open == nil && p.root != nil {
		p.fail(start, e.Name, fmt.Sprintf("has a second document behind its end: <%s>", clip(e.Name)),
			"give each document in a file of its own")
		return false
	}
	if p.depth++; p.depth > p.limits.Depth {
		p.fail(start, "", fmt.Sprintf("is nested more than %d elements deep", p.limits.Depth), "flatten it")
		return false
	}
	if p.open == nil {
		p.root, p.doc.Root = e, e
	} else {
		p.open.Children = append(p.open.Children, e)
	}
	p.open = e
	p.attributes(e, t)
	p.mend(start, end)
	return true
}

// attributes takes the attributes and namespaces of an element.
func (p *parser) attributes(e *Element, t xml.StartElement) {
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns":
			e.declare(a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			e.declare("", a.Value)
		}
	}
	var known bool
	if e.Space, known = e.namespace(t.Name.Space); !known {
		p.undeclared(e, t.Name.Space, e.Path())
	}
	twice := repeated(t.Attr)
	for _, a := range t.Attr {
		name := qualified(a.Name)
		if twice[a.Name] {
			p.fail(e.Start, e.Path()+"/@"+clip(name), "is there twice", "leave one of them")
			delete(twice, a.Name)
		}
		if a.Name.Space == "xmlns" || name == "xmlns" {
			continue
		}
		attribute := Attribute{Name: name, Local: a.Name.Local, Value: a.Value}
		if a.Name.Space != "" {
			if attribute.Space, known = e.namespace(a.Name.Space); !known {
				p.undeclared(e, a.Name.Space, e.Path()+"/@"+clip(name))
			}
		}
		if e.Attributes == nil {
			e.Attributes = make([]Attribute, 0, len(t.Attr))
		}
		e.Attributes = append(e.Attributes, attribute)
	}
}

// repeated are the names that are there more than once; nil for none.
func repeated(all []xml.Attr) map[xml.Name]bool {
	const few = 16 // that many are compared faster than put into a map
	if len(all) <= few {
		for i := range all {
			for j := range i {
				if all[i].Name == all[j].Name {
					return repeatedOfMany(all)
				}
			}
		}
		return nil
	}
	return repeatedOfMany(all)
}

func repeatedOfMany(all []xml.Attr) map[xml.Name]bool {
	seen := make(map[xml.Name]bool, len(all))
	out := map[xml.Name]bool{}
	for _, a := range all {
		if seen[a.Name] {
			out[a.Name] = true
		}
		seen[a.Name] = true
	}
	return out
}

func (e *Element) declare(prefix, space string) {
	if e.Namespaces == nil {
		e.Namespaces = map[string]string{}
	}
	e.Namespaces[prefix] = space
}

// namespace is what a prefix stands for here.
func (e *Element) namespace(prefix string) (string, bool) {
	for at := e; at != nil; at = at.Parent {
		if space, ok := at.Namespaces[prefix]; ok {
			return space, space != "" || prefix == ""
		}
	}
	if prefix == "xml" {
		return xmlSpace, true
	}
	return "", prefix == ""
}

func (p *parser) undeclared(e *Element, prefix, path string) {
	p.fail(e.Start, path, fmt.Sprintf("has the prefix %q, which is not declared", clip(prefix)),
		fmt.Sprintf("add xmlns:%s='...' to the root element", clip(prefix)))
}

func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func (p *parser) endElement(t xml.EndElement, start, end int) bool {
	if p.open == nil {
		p.fail(start, "", fmt.Sprintf("is not well-formed XML: </%s> closes nothing", clip(qualified(t.Name))), "remove it")
		return false
	}
	if name := qualified(t.Name); name != p.open.Name {
		p.fail(start, p.open.Path(), fmt.Sprintf("is not well-formed XML: <%s> of line %d is closed by </%s>",
			clip(p.open.Name), p.open.Line, clip(name)), fmt.Sprintf("write </%s> before it", clip(p.open.Name)))
		return false
	}
	p.open.InnerEnd, p.open.End = start, end
	p.open.Text, p.open.text = string(p.open.text), nil
	p.open = p.open.Parent
	p.depth--
	return true
}

// mend turns line breaks and tabs in the attributes of a start tag into spaces,
// as XML 1.0 says in 3.3.3; written as references (&#10;) they stay.
func (p *parser) mend(start, end int) {
	tag := p.text[start:end]
	if !bytes.ContainsAny(tag, "\n\t\r") {
		return
	}
	quote := byte(0)
	for i, c := range tag {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case quote != 0 && (c == '\n' || c == '\t' || c == '\r'):
			if !p.broken {
				p.broken, p.unbroken = true, bytes.Clone(p.text)
			}
			p.unbroken[start+i] = ' '
		}
	}
}

// lineCounter finds lines of offsets that only grow.
type lineCounter struct {
	text      []byte
	at        int
	line      int
	lineStart int
}

func (c *lineCounter) position(offset int) (line, column int) {
	for c.at < offset {
		next := bytes.IndexByte(c.text[c.at:offset], '\n')
		if next < 0 {
			c.at = offset
			break
		}
		c.at += next + 1
		c.line++
		c.lineStart = c.at
	}
	return c.line, offset - c.lineStart + 1
}
