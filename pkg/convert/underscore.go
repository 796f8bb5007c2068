package convert

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/xmldoc"
	"domus.dev/domus/pkg/convert/yamlnode"
)

// UnderscoreStyle is a document of 2019's style: libvirt's XML under one key of
// spec, attributes as _name, the text of an element as text, a repeated element
// as a list and a single one as an object. Its writers took numbers for text and
// text for numbers, so some of what it says is not what the XML said.
type UnderscoreStyle struct {
	// Root is the name of the XML's root element, which is the key under spec.
	Root string
	// Name is metadata.name.
	Name string
	// XML is what the document says, elements in its order.
	XML []byte
	// Ignored are the keys of spec beside Root, such as lifecycle and nodeName:
	// they are no part of the XML.
	Ignored []string
	// Doubtful are the whole numbers without quotes where libvirt takes text: zeros
	// before them, if there were any, are lost.
	Doubtful []UnderscoreNumber
}

// UnderscoreNumber is a number without quotes.
type UnderscoreNumber struct {
	// Path is where it stands, such as spec.domain.devices.disk[0].serial.text.
	Path string
	// Text is the number.
	Text string
	// Line is in the document, from 1.
	Line int
}

// underscoreRoots are the keys of spec that hold a libvirt document, in the order
// in which they are looked for.
var underscoreRoots = []string{"domain", "network", "volume", "pool", "domainsnapshot"}

// maxUnderscoreDepth bounds nesting; libvirt's own documents nest 10 deep, and
// deeper by one for each backing image.
const maxUnderscoreDepth = 64

// xmlName is what libvirt's elements and attributes are called.
var xmlName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*(:[A-Za-z][A-Za-z0-9_.-]*)?$`)

// IsUnderscoreStyle says whether an object in YAML is of that style: it has
// attributes or text of its kind below a libvirt document in spec.
func IsUnderscoreStyle(object *yaml.Node) bool {
	_, body := underscoreBody(object)
	return body != nil && hasUnderscores(body, 0)
}

// ReadUnderscoreStyle reads an object of that style, in YAML that keeps its scalars
// as they are written; JSON is YAML too. Errors are xmldoc.Errors without a file,
// lines as the nodes have them.
func ReadUnderscoreStyle(object *yaml.Node) (*UnderscoreStyle, error) {
	name, body := underscoreBody(object)
	if body == nil {
		return nil, xmldoc.Errors{{Problem: "spec holds none of " + strings.Join(underscoreRoots, ", ")}}
	}
	out := &UnderscoreStyle{Root: name}
	if n := yamlnode.Member(yamlnode.Member(object, "metadata"), "name"); n != nil {
		out.Name = n.Value
	}
	spec := yamlnode.Member(object, "spec")
	for i := 0; i+1 < len(spec.Content); i += 2 {
		if key := spec.Content[i].Value; key != name {
			out.Ignored = append(out.Ignored, key)
		}
	}
	r := underscoreReader{}
	r.element(name, body, name, 0)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	out.XML = r.xml.Bytes()
	if len(r.numbers) > 0 {
		marked := underscoreReader{marked: true}
		marked.element(name, body, name, 0)
		out.Doubtful = textual(name, marked.xml.Bytes(), r.numbers)
	}
	return out, nil
}

func underscoreBody(root *yaml.Node) (string, *yaml.Node) {
	spec := yamlnode.Member(root, "spec")
	for _, name := range underscoreRoots {
		if body := yamlnode.Member(spec, name); body != nil && body.Kind == yaml.MappingNode {
			return name, body
		}
	}
	return "", nil
}

// hasUnderscores finds an attribute, or an element that has text.
func hasUnderscores(n *yaml.Node, depth int) bool {
	if depth > maxUnderscoreDepth {
		return false
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, n.Content[i+1]
			if value.Kind == yaml.ScalarNode && (key == "text" || strings.HasPrefix(key, "_")) {
				return true
			}
		}
	}
	return slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return hasUnderscores(c, depth+1) })
}

type underscoreReader struct {
	xml bytes.Buffer
	// numbers are those without quotes. Where they are marked, each is written as
	// the mark of its place in the list.
	numbers []UnderscoreNumber
	marked  bool
	errs    xmldoc.Errors
}

// mark is a number as good as any other to what takes numbers, and known again
// where text is taken.
func mark(i int) string { return strconv.Itoa(730_000_000 + i) }

// textual returns those of numbers whose marks libvirt's types hold as text.
func textual(root string, document []byte, numbers []UnderscoreNumber) []UnderscoreNumber {
	types := map[string]any{
		"domain": &libvirtxml.Domain{}, "network": &libvirtxml.Network{}, "volume": &libvirtxml.StorageVolume{},
		"pool": &libvirtxml.StoragePool{}, "domainsnapshot": &libvirtxml.DomainSnapshot{},
	}
	doc := types[root]
	if err := xml.Unmarshal(document, doc); err != nil {
		return numbers // what takes which is not known
	}
	texts := map[string]bool{}
	collectTexts(reflect.ValueOf(doc), texts)
	var out []UnderscoreNumber
	for i, n := range numbers {
		if texts[mark(i)] {
			out = append(out, n)
		}
	}
	return out
}

func collectTexts(v reflect.Value, texts map[string]bool) {
	switch v.Kind() {
	case reflect.String:
		texts[v.String()] = true
	case reflect.Pointer:
		if !v.IsNil() {
			collectTexts(v.Elem(), texts)
		}
	case reflect.Slice:
		for i := range v.Len() {
			collectTexts(v.Index(i), texts)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			collectTexts(v.Field(i), texts)
		}
	}
}

func (r *underscoreReader) fail(n *yaml.Node, path, format string, args ...any) {
	const most = 50
	if len(r.errs) < most {
		r.errs = append(r.errs, &xmldoc.Error{Line: n.Line, Element: "spec." + path, Problem: fmt.Sprintf(format, args...)})
	}
}

// element writes the element of a name, or all of a list.
func (r *underscoreReader) element(name string, n *yaml.Node, path string, depth int) {
	switch {
	case depth > maxUnderscoreDepth:
		r.fail(n, path, "is nested more than %d levels deep", maxUnderscoreDepth)
	case !xmlName.MatchString(name):
		r.fail(n, path, "%q cannot be the name of an element of libvirt's XML", name)
	case n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			if item.Kind == yaml.SequenceNode {
				r.fail(item, at, "must not be a list in a list: each item is one <%s>", name)
				continue
			}
			r.element(name, item, at, depth+1)
		}
	case n.Kind == yaml.ScalarNode:
		// An element without attributes was sometimes written as its text alone,
		// and an empty one as null.
		r.xml.WriteString("<" + name + ">")
		r.text(n, path)
		r.xml.WriteString("</" + name + ">")
	case n.Kind == yaml.MappingNode:
		r.object(name, n, path, depth)
	default:
		r.fail(n, path, "must be written out: YAML's aliases are not followed here")
	}
}

func (r *underscoreReader) object(name string, n *yaml.Node, path string, depth int) {
	seen := map[string]bool{}
	var text *yaml.Node
	type child struct {
		name, path string
		node       *yaml.Node
	}
	var children []child
	r.xml.WriteString("<" + name)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := path + "." + key.Value
		attribute, isAttribute := strings.CutPrefix(key.Value, "_")
		switch {
		case seen[key.Value]:
			r.fail(key, at, "is given twice")
		case key.Value == "text" && value.Kind == yaml.ScalarNode:
			text = value
		case isAttribute && value.Kind != yaml.ScalarNode:
			// Java keeps the word interface to itself: the element is _interface.
			children = append(children, child{attribute, at, value})
		case isAttribute && !xmlName.MatchString(attribute):
			r.fail(key, at, "%q cannot be the name of an attribute of libvirt's XML", attribute)
		case isAttribute:
			r.xml.WriteString(" " + attribute + `="`)
			r.text(value, at)
			r.xml.WriteByte('"')
		default:
			children = append(children, child{key.Value, at, value})
		}
		seen[key.Value] = true
	}
	if text != nil && len(children) > 0 {
		r.fail(text, path+".text", "stands beside elements: libvirt's elements hold either")
	}
	if text == nil && len(children) == 0 {
		r.xml.WriteString("/>")
		return
	}
	r.xml.WriteByte('>')
	if text != nil {
		r.text(text, path+".text")
	}
	for _, c := range children {
		r.element(c.name, c.node, c.path, depth+1)
	}
	r.xml.WriteString("</" + name + ">")
}

// wholeNumber is one that zeros may have stood before.
var wholeNumber = regexp.MustCompile(`^[0-9]+$`)

// text writes a scalar as it is written in the document. Of a null nothing is
// left to write.
func (r *underscoreReader) text(n *yaml.Node, path string) {
	tag, value := n.ShortTag(), n.Value
	if tag == "!!null" {
		return
	}
	if tag == "!!int" && wholeNumber.MatchString(value) {
		if r.marked {
			value = mark(len(r.numbers))
		}
		r.numbers = append(r.numbers, UnderscoreNumber{Path: "spec." + path, Text: n.Value, Line: n.Line})
	}
	for _, c := range n.Value {
		// Section 2.2 of XML 1.0; encoding/xml replaces others without a word.
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == '\uFFFE' || c == '\uFFFF' {
			r.fail(n, path, "must not contain the character %U: XML cannot hold it", c)
			return
		}
	}
	// To memory it cannot fail.
	_ = xml.EscapeText(&r.xml, []byte(value))
}
