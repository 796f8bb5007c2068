package xmldoc

import (
	"fmt"
	"strings"
)

// What a Difference is.
const (
	// Missing is what the second document does not have.
	Missing = "missing"
	// Added is what only the second document has.
	Added = "added"
	// Changed is what both have with another value.
	Changed = "changed"
)

// Difference is a part in which two documents are not the same.
type Difference struct {
	// What is Missing, Added or Changed.
	What string
	// Path is that of the element in the first document, or in the second for
	// what was added, with /@name for an attribute and /text() for text.
	Path string
	// Line and Column are in the first document; of what was added, those of
	// the element in the first that it was added to.
	Line, Column int
	// Want and Got are the values, Want of the first document; empty for
	// elements.
	Want, Got string

	// First is the element of the first document that misses something, has
	// the other value, or was added to, and Second its counterpart; where First
	// itself is missing, Second is the counterpart of its parent.
	First, Second *Element
	// Attribute is the name of the attribute in question, empty for elements
	// and text.
	Attribute string
	// Text says that the text is in question.
	Text bool
	// Extra is the element that was added; nil otherwise.
	Extra *Element
}

// String says the difference to a person, without its line.
func (d Difference) String() string {
	switch {
	case d.What == Changed:
		return fmt.Sprintf("%s: %q becomes %q", d.Path, clip(d.Want), clip(d.Got))
	case d.What == Missing && (d.Text || d.Attribute != ""):
		return fmt.Sprintf("%s: %q is lost", d.Path, clip(d.Want))
	case d.What == Missing:
		return d.Path + ": is lost"
	case d.Text || d.Attribute != "":
		return fmt.Sprintf("%s: %q is added", d.Path, clip(d.Got))
	default:
		return d.Path + ": is added"
	}
}

// Rules say what a document's values mean; the zero Rules take all for text.
type Rules struct {
	// Number says whether a value is a number, so that 0x0A, 0xa and 10 are the
	// same. It is given the element, and the attribute's name or "" for its
	// text. Nil says no: a serial 000123 is not 123.
	Number func(e *Element, attribute string) bool
	// Amount says whether a number is one of what a unit attribute names, and
	// in which unit it is where that is missing: 1 GiB is 1048576 KiB. It is
	// given what Number is, and the unit may be b, KiB, MiB, GB and so on.
	Amount func(e *Element, attribute string) (unit string, ok bool)
	// Verbatim says that an element's content is not libvirt's, but kept for
	// others, so that the order of all elements in it matters, and its text
	// does where there are elements beside it.
	Verbatim func(e *Element) bool
	// Role tells elements of one name apart where libvirt does, so that those
	// of different roles may mix too. Nil says that no name has roles.
	Role func(e *Element) string
}

// Compare says in what the second document is not the first up to formatting:
// white space between elements, the order of attributes, comments, processing
// instructions, prefixes of namespaces, <a/> for <a></a>, and the notation of
// numbers where the rules know them. In that order: what of the first is
// missing or changed, and what was added, element by element.
//
// Elements of the same name keep their order, those of different names may mix:
// libvirt reads every element by its name, with one search for each, so it sees
// which disk is the first, and cannot see whether a disk was before an
// interface; its schemas interleave wherever a person may write what they like,
// and its own output is in an order of its own. The exceptions are elements
// whose content is not libvirt's (see Rules.Verbatim), such as metadata.
func Compare(first, second *Document, rules Rules) []Difference {
	c := comparer{rules: rules}
	if !sameName(first.Root, second.Root) {
		c.add(Difference{What: Changed, Path: first.Root.Name, First: first.Root, Second: second.Root,
			Want: first.Root.Name, Got: second.Root.Name})
		return c.out
	}
	c.element(first.Root, second.Root, false)
	return c.out
}

// Same says whether two documents do not differ.
func Same(first, second *Document, rules Rules) bool {
	return len(Compare(first, second, rules)) == 0
}

type comparer struct {
	rules Rules
	out   []Difference
}

func (c *comparer) add(d Difference) {
	if d.First != nil {
		d.Line, d.Column = d.First.Line, d.First.Column
	}
	c.out = append(c.out, d)
}

func sameName(a, b *Element) bool { return a.Local == b.Local && a.Space == b.Space }

func (c *comparer) element(a, b *Element, verbatim bool) {
	c.attributes(a, b)
	top := !verbatim && c.rules.Verbatim != nil && c.rules.Verbatim(a)
	// The white space at both ends of verbatim content is formatting still, as
	// it is around text beside elements, which no part of libvirt's documents
	// has, but which is not dropped unseen.
	trim := top || !verbatim && (len(a.Children) > 0 || len(b.Children) > 0)
	c.text(a, b, trim)
	if verbatim || top {
		c.inOrder(a, b)
	} else {
		c.byName(a, b)
	}
}

func (c *comparer) attributes(a, b *Element) {
	for i := range a.Attributes {
		want := &a.Attributes[i]
		path := func() string { return a.Path() + "/@" + want.Name }
		got := b.attribute(want.Space, want.Local)
		switch {
		case got == nil && want.Name == "unit" && c.hasAmount(a):
		case got == nil:
			c.add(Difference{What: Missing, Path: path(), Want: want.Value, First: a, Second: b, Attribute: want.Name})
		case !c.sameValue(a, b, want.Name, want.Value, got.Value):
			c.add(Difference{What: Changed, Path: path(), Want: want.Value, Got: got.Value, First: a, Second: b, Attribute: want.Name})
		}
	}
	for i := range b.Attributes {
		got := &b.Attributes[i]
		spokenFor := got.Name == "unit" && c.hasAmount(b)
		if a.attribute(got.Space, got.Local) == nil && !spokenFor {
			c.add(Difference{What: Added, Path: b.Path() + "/@" + got.Name, Got: got.Value, First: a, Second: b, Attribute: got.Name})
		}
	}
}

func (e *Element) attribute(space, local string) *Attribute {
	for i := range e.Attributes {
		if a := &e.Attributes[i]; a.Local == local && a.Space == space {
			return a
		}
	}
	return nil
}

func (c *comparer) text(a, b *Element, trim bool) {
	want, got := a.Text, b.Text
	if blank(want) && blank(got) {
		return // formatting, or an empty element written <a> </a>
	}
	if trim {
		want, got = strings.TrimSpace(want), strings.TrimSpace(got)
	}
	if c.sameValue(a, b, "", want, got) {
		return
	}
	d := Difference{What: Changed, Path: a.Path() + "/text()", Want: want, Got: got, First: a, Second: b, Text: true}
	switch {
	case blank(got):
		d.What = Missing
	case blank(want):
		d.What = Added
	}
	c.add(d)
}

func blank(s string) bool { return strings.Trim(s, " \t\r\n") == "" }

// byName pairs the nth element of a name with the nth of the same name.
func (c *comparer) byName(a, b *Element) {
	if c.aligned(a, b) {
		for i, e := range a.Children {
			c.element(e, b.Children[i], false)
		}
		return
	}
	theirs := make(map[siblings][]*Element, len(b.Children))
	for _, e := range b.Children {
		key := c.siblings(e)
		theirs[key] = append(theirs[key], e)
	}
	for _, e := range a.Children {
		key := c.siblings(e)
		if left := theirs[key]; len(left) > 0 {
			theirs[key] = left[1:]
			c.element(e, left[0], false)
			continue
		}
		c.add(Difference{What: Missing, Path: e.Path(), First: e, Second: b})
	}
	for _, e := range b.Children {
		key := c.siblings(e)
		if left := theirs[key]; len(left) > 0 && left[0] == e {
			theirs[key] = left[1:]
			c.add(Difference{What: Added, Path: e.Path(), First: a, Second: b, Extra: e})
		}
	}
}

// aligned says whether the children have the same names in the same order, as
// most have: each is then the counterpart of the other at its place.
func (c *comparer) aligned(a, b *Element) bool {
	if len(a.Children) != len(b.Children) {
		return false
	}
	for i, e := range a.Children {
		if c.siblings(e) != c.siblings(b.Children[i]) {
			return false
		}
	}
	return true
}

// siblings names elements of one parent whose order among each other matters.
type siblings struct{ space, local, role string }

func (c *comparer) siblings(e *Element) siblings {
	s := siblings{space: e.Space, local: e.Local}
	if c.rules.Role != nil {
		s.role = c.rules.Role(e)
	}
	return s
}

// inOrder pairs the nth element with the nth, whatever their names.
func (c *comparer) inOrder(a, b *Element) {
	for i, e := range a.Children {
		switch {
		case i >= len(b.Children):
			c.add(Difference{What: Missing, Path: e.Path(), First: e, Second: b})
		case !sameName(e, b.Children[i]):
			c.add(Difference{What: Changed, Path: e.Path(), Want: e.Name, Got: b.Children[i].Name, First: e, Second: b.Children[i]})
		default:
			c.element(e, b.Children[i], true)
		}
	}
	for _, e := range b.Children[min(len(a.Children), len(b.Children)):] {
		c.add(Difference{What: Added, Path: e.Path(), First: a, Second: b, Extra: e})
	}
}
