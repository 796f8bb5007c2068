package xmldoc

import (
	"fmt"
	"strings"
)

// Path is where the element is, from the root: domain/devices/disk[2]. A number,
// from 1, stands where the parent has several of the name, as in XPath.
func (e *Element) Path() string {
	var steps []string
	for ; e != nil; e = e.Parent {
		steps = append(steps, e.step())
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	return strings.Join(steps, "/")
}

func (e *Element) step() string {
	if e.Parent == nil {
		return e.Name
	}
	n, of := e.Number()
	if of == 1 {
		return e.Name
	}
	return fmt.Sprintf("%s[%d]", e.Name, n)
}

// Number is the place of the element, from 1, among those of its name in its
// parent, and how many there are.
func (e *Element) Number() (n, of int) {
	if e.Parent == nil {
		return 1, 1
	}
	// All siblings are counted at once, or naming each of thousands would take
	// thousands squared.
	if p := e.Parent; p.counted == nil || p.countedOf != len(p.Children) {
		p.counted, p.countedOf = make(map[string]int, 8), len(p.Children)
		for _, c := range p.Children {
			p.counted[c.Name]++
			c.nth = p.counted[c.Name]
		}
	}
	return e.nth, e.Parent.counted[e.Name]
}

// Place is the path without numbers: domain/devices/disk.
func (e *Element) Place() string {
	if e.Parent == nil {
		return e.Local
	}
	return e.Parent.Place() + "/" + e.Local
}
