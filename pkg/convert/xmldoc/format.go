package xmldoc

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Format writes the document as libvirt writes its own: two spaces for each
// level, attributes in single quotes in their order, no empty element with two
// tags, namespaces declared on the root. prefixes are the customary ones by
// namespace; another namespace keeps the first prefix it is used with. What is
// inside verbatim elements (see Rules) is written as it was read. Equal
// documents give equal bytes.
func (d *Document) Format(rules Rules, prefixes map[string]string) []byte {
	return d.Root.Format(rules, prefixes)
}

// Format is Document.Format for an element as a document of its own.
func (e *Element) Format(rules Rules, prefixes map[string]string) []byte {
	f := formatter{rules: rules, top: e, prefixes: map[string]string{xmlSpace: "xml"}}
	f.collect(e, prefixes)
	f.element(e, 0)
	return f.out.Bytes()
}

type formatter struct {
	rules    Rules
	top      *Element
	prefixes map[string]string // by namespace, those that are used
	out      bytes.Buffer
}

func (f *formatter) verbatim(e *Element) bool { return f.rules.Verbatim != nil && f.rules.Verbatim(e) }

// collect finds a prefix for each namespace in use.
func (f *formatter) collect(e *Element, customary map[string]string) {
	f.choose(e.Space, e.Name, customary)
	for i := range e.Attributes {
		f.choose(e.Attributes[i].Space, e.Attributes[i].Name, customary)
	}
	if f.verbatim(e) {
		return
	}
	for _, c := range e.Children {
		f.collect(c, customary)
	}
}

func (f *formatter) choose(space, name string, customary map[string]string) {
	if _, chosen := f.prefixes[space]; chosen || space == "" {
		return
	}
	taken := func(prefix string) bool {
		for other, p := range customary {
			if p == prefix && other != space {
				return true
			}
		}
		for _, p := range f.prefixes {
			if p == prefix {
				return true
			}
		}
		return false
	}
	prefix, ok := customary[space]
	if !ok {
		prefix, _, ok = strings.Cut(name, ":")
	}
	for n := 1; !ok || taken(prefix); n++ {
		prefix, ok = fmt.Sprintf("ns%d", n), true
	}
	f.prefixes[space] = prefix
}

func (f *formatter) name(space, local string) string {
	if space == "" {
		return local
	}
	return f.prefixes[space] + ":" + local
}

func (f *formatter) element(e *Element, depth int) {
	indent := strings.Repeat("  ", depth)
	name := f.name(e.Space, e.Local)
	f.out.WriteString(indent + "<" + name)
	if e == f.top {
		f.declarations()
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		f.attribute(f.name(a.Space, a.Local), a.Value)
	}
	inner := ""
	if f.verbatim(e) {
		inner = strings.Trim(e.Inner(), " \t\r\n")
	}
	switch {
	case inner != "":
		f.out.WriteString(">\n" + indent + "  " + inner + "\n" + indent + "</" + name + ">\n")
	case f.verbatim(e) || len(e.Children) == 0 && e.Text == "":
		f.out.WriteString("/>\n")
	case len(e.Children) == 0:
		f.out.WriteByte('>')
		escapeText(&f.out, e.Text)
		f.out.WriteString("</" + name + ">\n")
	default:
		f.out.WriteByte('>')
		escapeText(&f.out, strings.Trim(e.Text, " \t\r\n"))
		f.out.WriteByte('\n')
		for _, c := range e.Children {
			f.element(c, depth+1)
		}
		f.out.WriteString(indent + "</" + name + ">\n")
	}
}

func (f *formatter) declarations() {
	byPrefix := map[string]string{}
	for space, prefix := range f.prefixes {
		if prefix != "xml" {
			byPrefix[prefix] = space
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(byPrefix)) {
		f.attribute("xmlns:"+prefix, byPrefix[prefix])
	}
}

func (f *formatter) attribute(name, value string) {
	f.out.WriteString(" " + name + "='")
	escapeAttribute(&f.out, value)
	f.out.WriteByte('\'')
}

// escapeAttribute writes line breaks and tabs as references, or they would be
// read as spaces.
func escapeAttribute(out *bytes.Buffer, s string) {
	_, _ = attributeEscapes.WriteString(out, s) // a buffer does not fail
}

func escapeText(out *bytes.Buffer, s string) {
	_, _ = textEscapes.WriteString(out, s)
}

var (
	attributeEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;",
		"\n", "&#xA;", "\t", "&#x9;", "\r", "&#xD;")
	textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
)

// Content is what is between the element's tags, as it was written but for the
// white space at its ends, each element in it with declarations of the prefixes
// that it has from outside: so that it can be taken out. It is false where that
// takes more than most bytes.
func (e *Element) Content(most int) (string, bool) {
	inner := e.doc.Source[e.InnerStart:e.InnerEnd]
	var out []byte
	last := 0
	for _, c := range e.Children {
		declarations := c.borrowed()
		if declarations == "" {
			continue
		}
		at := c.Start + 1 + len(c.Name) - e.InnerStart
		out = append(append(out, inner[last:at]...), declarations...)
		if last = at; len(out) > most {
			return "", false
		}
	}
	out = bytes.Trim(append(out, inner[last:]...), " \t\r\n")
	return string(out), len(out) <= most
}

// borrowed are declarations of the prefixes that the element and what is in it
// have from above it.
func (e *Element) borrowed() string {
	found := map[string]string{}
	use := func(at *Element, name, space string) {
		prefix, _, has := strings.Cut(name, ":")
		if !has {
			prefix = ""
		}
		if space != "" && space != xmlSpace && !at.declares(prefix, e) {
			found[prefix] = space
		}
	}
	e.All(func(at *Element) {
		use(at, at.Name, at.Space)
		for i := range at.Attributes {
			use(at, at.Attributes[i].Name, at.Attributes[i].Space)
		}
	})
	var out bytes.Buffer
	for _, prefix := range slices.Sorted(maps.Keys(found)) {
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		out.WriteString(" " + name + "='")
		escapeAttribute(&out, found[prefix])
		out.WriteByte('\'')
	}
	return out.String()
}

// declares says whether the element, or one above it up to top, declares the
// prefix.
func (e *Element) declares(prefix string, top *Element) bool {
	for ; e != top.Parent; e = e.Parent {
		if _, ok := e.Namespaces[prefix]; ok {
			return true
		}
	}
	return false
}
