// Package xmldoc reads XML that nobody vouches for, such as a libvirt domain
// that a person hands in, into a light tree that remembers where each part was
// written, and says in what two documents differ.
//
// It is no general XML library: document type declarations and entities of a
// document's own are refused, since libvirt's documents have none and both are
// ways to make a small document large. It is pure and knows nothing of
// libvirt's elements but the names of the roots (see [Kind]); what counts as a
// number, or as an amount with a unit, the caller says (see [Rules]).
package xmldoc

// Document is an XML document.
type Document struct {
	// File is the name it is called by in errors; it may be empty.
	File string
	// Source is the text that was read, its attributes' line breaks and tabs
	// turned into spaces, as XML says (3.3.3) and encoding/xml does not.
	Source []byte
	Root   *Element
}

// Element is an element with all that it holds. Comments and processing
// instructions are not kept.
type Element struct {
	// Name is as written, with its prefix: qemu:arg.
	Name string
	// Space is the namespace that the prefix, or the default namespace, stands
	// for; Local is the name without the prefix.
	Space, Local string
	// Attributes are in the order of the text, declarations of namespaces apart.
	Attributes []Attribute
	// Namespaces are the declarations on this element by prefix, "" the default;
	// nil when there are none.
	Namespaces map[string]string
	Children   []*Element
	// Text is all text directly inside, in one string.
	Text string

	Parent *Element
	// nth is the element's place among its namesakes; counted is how many
	// children of each name there are, when there were countedOf in all.
	nth       int
	counted   map[string]int
	countedOf int
	// doc is the document that the offsets below are in.
	doc *Document
	// text gathers Text while the element is open.
	text []byte
	// Line and Column are where the element begins, from 1, columns in bytes.
	Line, Column int
	// Start and End bound the element in the source, InnerStart and InnerEnd
	// what is between its tags; these two are equal for <a/>.
	Start, End, InnerStart, InnerEnd int
}

// Attribute is an attribute that is no declaration of a namespace.
type Attribute struct {
	// Name is as written, with its prefix.
	Name string
	// Space is the namespace of the prefix, empty without one.
	Space, Local string
	Value        string
}

// Attribute returns the value of the attribute without a namespace that has the
// name, and whether there is one.
func (e *Element) Attribute(name string) (string, bool) {
	for i := range e.Attributes {
		if e.Attributes[i].Space == "" && e.Attributes[i].Local == name {
			return e.Attributes[i].Value, true
		}
	}
	return "", false
}

// Child returns the first child without a prefix that has the name, nil when
// there is none.
func (e *Element) Child(name string) *Element {
	for _, c := range e.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Inner is what is between the element's tags, as it was written.
func (e *Element) Inner() string { return string(e.doc.Source[e.InnerStart:e.InnerEnd]) }

// All visits the element and all below it, each before what it holds.
func (e *Element) All(visit func(*Element)) {
	visit(e)
	for _, c := range e.Children {
		c.All(visit)
	}
}

// SetAttribute sets an attribute without a namespace.
func (e *Element) SetAttribute(name, value string) {
	for i := range e.Attributes {
		if a := &e.Attributes[i]; a.Space == "" && a.Local == name {
			a.Value = value
			return
		}
	}
	e.Attributes = append(e.Attributes, Attribute{Name: name, Local: name, Value: value})
}

// RemoveAttribute removes an attribute without a namespace, and says whether it
// was there.
func (e *Element) RemoveAttribute(name string) bool {
	for i := range e.Attributes {
		if e.Attributes[i].Space == "" && e.Attributes[i].Local == name {
			e.Attributes = append(e.Attributes[:i:i], e.Attributes[i+1:]...)
			return true
		}
	}
	return false
}

// Append adds an element, of this document or another, at the end.
func (e *Element) Append(c *Element) {
	c.Parent = e
	e.Children = append(e.Children, c)
	e.counted = nil
}

// Remove removes a child, and says whether it was one.
func (e *Element) Remove(c *Element) bool {
	for i := range e.Children {
		if e.Children[i] == c {
			e.Children = append(e.Children[:i:i], e.Children[i+1:]...)
			e.counted = nil
			return true
		}
	}
	return false
}

// Nth returns the nth child, from 1, whose local name it is; nil when there is
// none.
func (e *Element) Nth(local string, n int) *Element {
	for _, c := range e.Children {
		if c.Local == local {
			if n--; n == 0 {
				return c
			}
		}
	}
	return nil
}
