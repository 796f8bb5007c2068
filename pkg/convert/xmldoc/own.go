package xmldoc

import (
	"bytes"
	"strings"
)

// ParseOwn is Parse for text that encoding/xml has written of a libvirt struct,
// several times as fast. Whatever is not of the few forms that it writes is left
// to Parse. What is in <metadata> and <cookie>, XML that a struct holds as it
// stands, is read as Parse reads it.
func ParseOwn(text []byte, limits Limits) (*Document, error) {
	p := ownParser{doc: &Document{Source: text}, text: text}
	if !p.run() {
		return Parse("", text, limits)
	}
	return p.doc, nil
}

type ownParser struct {
	doc  *Document
	text []byte
	at   int
	open *Element
	// elements are handed out from blocks: there are thousands.
	elements []Element
}

// run is false for what it does not know.
func (p *ownParser) run() bool {
	for p.at < len(p.text) {
		if p.text[p.at] != '<' {
			end := bytes.IndexByte(p.text[p.at:], '<')
			if end < 0 || p.open == nil {
				return false
			}
			text, ok := unescape(p.text[p.at : p.at+end])
			if !ok {
				return false
			}
			p.open.Text += text
			p.at += end
			continue
		}
		ok := p.at+1 < len(p.text)
		if ok && p.text[p.at+1] == '/' {
			ok = p.end()
		} else if ok {
			ok = p.start()
		}
		if !ok {
			return false
		}
	}
	return p.open == nil && p.doc.Root != nil
}

func (p *ownParser) start() bool {
	if p.open == nil && p.doc.Root != nil {
		return false
	}
	start := p.at
	p.at++
	name := p.name()
	if name == "metadata" || name == "cookie" {
		p.at = start
		return p.foreign()
	}
	if name == "" {
		return false
	}
	if len(p.elements) == 0 {
		p.elements = make([]Element, 64)
	}
	e := &p.elements[0]
	p.elements = p.elements[1:]
	*e = Element{Name: name, Local: name, Parent: p.open, doc: p.doc, Line: 1, Column: start + 1, Start: start}
	if p.open == nil {
		p.doc.Root = e
	} else {
		p.open.Children = append(p.open.Children, e)
		e.Space = p.open.Space
	}
	p.open = e
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
		if !p.attribute(e) {
			return false
		}
	}
	if p.at >= len(p.text) || p.text[p.at] != '>' {
		return false
	}
	p.at++
	e.InnerStart = p.at
	return true
}

// foreign reads an element that is not ours to its end.
func (p *ownParser) foreign() bool {
	start := p.at
	other := newParser("", p.text[start:], Limits{}.orDefault())
	if p.open == nil || !other.one() {
		return false
	}
	root := other.root
	p.at += root.End
	root.All(func(e *Element) {
		e.doc, e.Line, e.Column = p.doc, 1, e.Column+start
		e.Start, e.End = e.Start+start, e.End+start
		e.InnerStart, e.InnerEnd = e.InnerStart+start, e.InnerEnd+start
	})
	root.Parent = p.open
	p.open.Children = append(p.open.Children, root)
	return true
}

func (p *ownParser) attribute(e *Element) bool {
	name := p.name()
	rest := p.text[p.at:]
	if name == "" || len(rest) < 3 || rest[0] != '=' || rest[1] != '"' {
		return false
	}
	end := bytes.IndexByte(rest[2:], '"')
	if end < 0 {
		return false
	}
	value, ok := unescape(rest[2 : 2+end])
	if !ok || e.attribute("", name) != nil {
		return false
	}
	p.at += end + 3
	if name == "xmlns" {
		e.declare("", value)
		e.Space = value
		return true
	}
	e.Attributes = append(e.Attributes, Attribute{Name: name, Local: name, Value: value})
	return true
}

func (p *ownParser) end() bool {
	if p.open == nil {
		return false
	}
	start := p.at
	p.at += 2
	if p.name() != p.open.Name || p.at >= len(p.text) || p.text[p.at] != '>' {
		return false
	}
	p.at++
	p.open.InnerEnd, p.open.End = start, p.at
	p.open = p.open.Parent
	return true
}

// name reads a name without a prefix; "" when there is none of libvirt's kind.
func (p *ownParser) name() string {
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || p.at > start && (c >= '0' && c <= '9' || c == '-') {
			p.at++
			continue
		}
		break
	}
	return string(p.text[start:p.at])
}

// unescape undoes what encoding/xml escapes, and is false for all else.
func unescape(b []byte) (string, bool) {
	if bytes.ContainsAny(b, "<>\r") {
		return "", false
	}
	s := string(b)
	if !strings.Contains(s, "&") {
		return s, true
	}
	s = ownEscapes.Replace(s)
	return strings.ReplaceAll(s, "\x00", "&"), !strings.Contains(s, "&")
}

// ownEscapes leaves a zero byte, which no XML holds, for an ampersand, so that
// one that is left over is none of these.
var ownEscapes = strings.NewReplacer("&amp;", "\x00", "&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'",
	"&#x9;", "\t", "&#xA;", "\n", "&#xD;", "\r")
