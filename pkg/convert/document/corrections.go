package document

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// errNoPlace says that a difference cannot be said as a correction.
var errNoPlace = errors.New("no correction can say it")

// corrections are what makes back, which is value as XML, the document that the
// differences are to.
func corrections(value any, back *xmldoc.Document, differences []xmldoc.Difference) (tree.Others, error) {
	c := corrector{objects: map[*xmldoc.Element]string{}, made: map[*xmldoc.Element]place{}, out: tree.Others{}}
	elements := ways(back.Root)
	for _, o := range tree.Objects(value) {
		if e := elements[o.Element]; e != nil {
			c.objects[e] = o.Path
		}
	}
	for _, d := range differences {
		if err := c.add(d); err != nil {
			return nil, err
		}
	}
	return c.out, nil
}

type corrector struct {
	// objects are the paths of the objects that elements of back stand for.
	objects map[*xmldoc.Element]string
	// made are the corrections that there are, by the element that each is of.
	made map[*xmldoc.Element]place
	out  tree.Others
}

// place is where a correction is: the path of its object, and its index there.
type place struct {
	path  string
	index int
}

// add says one difference.
func (c *corrector) add(d xmldoc.Difference) error {
	element := d.Second
	if element == nil {
		return errNoPlace
	}
	other, err := c.at(element)
	if err != nil {
		return err
	}
	switch {
	case d.Attribute != "" && strings.Contains(d.Attribute, ":"):
		return errNoPlace // it would need a namespace
	case d.Attribute != "" && d.What == xmldoc.Added:
		other.Omit = append(other.Omit, "@"+d.Attribute)
	case d.Attribute != "":
		if other.Attributes == nil {
			other.Attributes = map[string]string{}
		}
		other.Attributes[d.Attribute] = d.Want
	case d.Text:
		other.Text = &d.Want
	case d.What == xmldoc.Added:
		other.Omit = append(other.Omit, step(d.Extra))
	case d.What == xmldoc.Missing:
		other.Elements = append(other.Elements, strings.TrimSpace(string(d.First.Format(Rules(), Prefixes()))))
	default:
		return errNoPlace // another element in its place, among what is not libvirt's
	}
	return nil
}

// at is the correction of an element, found or made, in the nearest object
// around it.
func (c *corrector) at(element *xmldoc.Element) (*tree.Other, error) {
	if at, ok := c.made[element]; ok {
		return &c.out[at.path][at.index], nil
	}
	var steps []string
	for e := element; e != nil; e = e.Parent {
		path, ok := c.objects[e]
		if !ok {
			steps = append(steps, step(e))
			continue
		}
		slices.Reverse(steps)
		c.out[path] = append(c.out[path], tree.Other{At: strings.Join(steps, "/")})
		at := place{path: path, index: len(c.out[path]) - 1}
		c.made[element] = at
		return &c.out[path][at.index], nil
	}
	return nil, errNoPlace
}

// step names an element among its siblings: source, or source[2] where there
// are several.
func step(e *xmldoc.Element) string {
	n, of := e.Number()
	if of == 1 {
		return e.Local
	}
	return fmt.Sprintf("%s[%d]", e.Local, n)
}

// ways are all elements by their ways from the root, as tree.Objects has them.
func ways(root *xmldoc.Element) map[string]*xmldoc.Element {
	out := map[string]*xmldoc.Element{}
	var visit func(e *xmldoc.Element, way string)
	visit = func(e *xmldoc.Element, way string) {
		out[way] = e
		if way != "" {
			way += "/"
		}
		for _, c := range e.Children {
			n, _ := c.Number()
			visit(c, way+c.Local+"["+strconv.Itoa(n)+"]")
		}
	}
	visit(root, "")
	return out
}

// find follows a way of steps; nil when it leads nowhere.
func find(e *xmldoc.Element, way string) *xmldoc.Element {
	if way == "" {
		return e
	}
	for _, s := range strings.Split(way, "/") {
		name, rest, numbered := strings.Cut(s, "[")
		n := 1
		if numbered {
			var err error
			if n, err = strconv.Atoi(strings.TrimSuffix(rest, "]")); err != nil {
				return nil
			}
		}
		if e = e.Nth(name, n); e == nil {
			return nil
		}
	}
	return e
}

// correctionError says which correction cannot be made.
type correctionError struct {
	// path is that of the object, index the place in its list.
	path  string
	index int
	// key is that of the correction that is wrong.
	key     string
	problem string
}

func (e *correctionError) Error() string { return e.key + ": " + e.problem }

// correct makes the corrections in back, which is value as XML.
func correct(value any, back *xmldoc.Document, others tree.Others) error {
	if len(others) == 0 {
		return nil
	}
	type target struct {
		path    string
		index   int
		element *xmldoc.Element
		omit    []*xmldoc.Element
	}
	elements := map[string]*xmldoc.Element{}
	all := ways(back.Root)
	objects := tree.Objects(value)
	for _, o := range objects {
		elements[o.Path] = all[o.Element]
	}
	// All elements are found before any is added or removed, so that numbers
	// mean what libvirtxml wrote.
	var targets []target
	for _, o := range objects {
		for i, other := range others[o.Path] {
			fail := func(key, problem string) error {
				return &correctionError{path: o.Path, index: i, key: key, problem: problem}
			}
			if elements[o.Path] == nil {
				return fail("", "the object has no element of its own to correct")
			}
			t := target{path: o.Path, index: i, element: find(elements[o.Path], other.At)}
			if t.element == nil {
				return fail("at", fmt.Sprintf("there is no element %q here", other.At))
			}
			for _, name := range other.Omit {
				if _, ok := t.element.Attribute(strings.TrimPrefix(name, "@")); ok && name[0] == '@' {
					continue
				}
				e := find(t.element, name)
				if e == nil || e == t.element {
					return fail("omit", fmt.Sprintf("there is no %q here", name))
				}
				t.omit = append(t.omit, e)
			}
			targets = append(targets, t)
		}
	}
	if n := countOthers(others); n != len(targets) {
		return &correctionError{problem: "an object has no element of its own to correct"}
	}
	for _, t := range targets {
		other := others[t.path][t.index]
		if key, err := apply(other, t.element, t.omit); err != nil {
			return &correctionError{path: t.path, index: t.index, key: key, problem: err.Error()}
		}
	}
	return nil
}

func countOthers(others tree.Others) int {
	n := 0
	for _, list := range others {
		n += len(list)
	}
	return n
}

// apply makes one correction; with an error it returns the key that is wrong.
func apply(other tree.Other, e *xmldoc.Element, omit []*xmldoc.Element) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(other.Attributes)) {
		if !isName(name) {
			return "attributes", fmt.Errorf("%q is not the name of an attribute", name)
		}
		e.SetAttribute(name, other.Attributes[name])
	}
	for _, name := range other.Omit {
		if strings.HasPrefix(name, "@") {
			e.RemoveAttribute(name[1:])
		}
	}
	for _, gone := range omit {
		gone.Parent.Remove(gone)
	}
	if other.Text != nil {
		e.Text = *other.Text
	}
	for _, text := range other.Elements {
		added, err := xmldoc.Parse("", []byte(text), xmldoc.Limits{})
		if err != nil {
			return "elements", err
		}
		e.Append(added.Root)
	}
	return "", nil
}

// isName says whether a string can be an attribute's name in XML without a
// namespace; libvirt's are of these characters.
func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		later := r >= '0' && r <= '9' || r == '-' || r == '.'
		if !letter && (i == 0 || !later) {
			return false
		}
	}
	return s != "" && s != "xmlns"
}
