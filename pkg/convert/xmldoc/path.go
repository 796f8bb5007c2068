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
	n, at := 0, 0
	for _, c := range e.Parent.Children {
		if c.Name == e.Name {
			n++
		}
		if c == e {
			at = n
		}
	}
	if n == 1 {
		return e.Name
	}
	return fmt.Sprintf("%s[%d]", e.Name, at)
}

// Place is the path without numbers: domain/devices/disk.
func (e *Element) Place() string {
	if e.Parent == nil {
		return e.Local
	}
	return e.Parent.Place() + "/" + e.Local
}
