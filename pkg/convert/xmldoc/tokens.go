package xmldoc

import (
	"encoding/xml"
	"io"
	"strings"
)

// Tokens reads the document as tokens with prefixes and declarations, as
// xml.Decoder.RawToken gives them, for xml.NewTokenDecoder: the text need not
// be taken apart a second time. Text of an element comes before what else it
// holds, without the white space that sets its elements apart, and elements that
// the rules call verbatim are empty.
func (d *Document) Tokens(rules Rules) xml.TokenReader { return &tokens{rules: rules, next: d.Root} }

type tokens struct {
	rules Rules
	// next is the element to begin, end the one to end; text says that the text
	// of end is to come.
	next, end *Element
	text      bool
	// at are the places among the children of the open elements.
	at []int
}

// Token is one of a start element, an end element, and text.
func (t *tokens) Token() (xml.Token, error) {
	if t.text {
		t.text = false
		text := t.end.Text
		if len(t.end.Children) > 0 {
			// White space before and between elements is formatting, not text.
			text = strings.TrimSpace(text)
		}
		if text != "" {
			return xml.CharData(text), nil
		}
	}
	if t.end != nil && t.next == nil {
		last := len(t.at) - 1
		if i := t.at[last]; i < len(t.end.Children) {
			t.at[last]++
			t.next = t.end.Children[i]
		}
	}
	if e := t.next; e != nil {
		t.next, t.end, t.text = nil, e, true
		t.at = append(t.at, 0)
		if t.rules.Verbatim != nil && t.rules.Verbatim(e) {
			t.text, t.at[len(t.at)-1] = false, len(e.Children)
		}
		return xml.StartElement{Name: rawName(e.Name), Attr: e.rawAttributes()}, nil
	}
	if t.end == nil {
		return nil, io.EOF
	}
	name := rawName(t.end.Name)
	t.end, t.at = t.end.Parent, t.at[:len(t.at)-1]
	if len(t.at) == 0 {
		t.end = nil
	}
	return xml.EndElement{Name: name}, nil
}

func rawName(name string) xml.Name {
	if prefix, local, ok := strings.Cut(name, ":"); ok {
		return xml.Name{Space: prefix, Local: local}
	}
	return xml.Name{Local: name}
}

func (e *Element) rawAttributes() []xml.Attr {
	out := make([]xml.Attr, 0, len(e.Attributes)+len(e.Namespaces))
	for prefix, space := range e.Namespaces {
		name := xml.Name{Space: "xmlns", Local: prefix}
		if prefix == "" {
			name = xml.Name{Local: "xmlns"}
		}
		out = append(out, xml.Attr{Name: name, Value: space})
	}
	for i := range e.Attributes {
		out = append(out, xml.Attr{Name: rawName(e.Attributes[i].Name), Value: e.Attributes[i].Value})
	}
	return out
}
