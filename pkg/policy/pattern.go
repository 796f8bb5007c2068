package policy

import (
	"strings"
	"sync"
)

// entry is a row of the list of what restricted allows.
type entry struct {
	// at is the object, as a pattern of package tree; empty is the domain.
	at string
	// keys are allowed below it, apart by spaces. Each is a path to a leaf, or
	// ends in .** for all that lies below.
	keys string
	// why it is safe, or what it is for.
	why string
}

// paths returns the entry's keys as whole patterns.
func (e entry) paths() []string {
	keys := strings.Fields(e.keys)
	if e.at != "" {
		for i, key := range keys {
			keys[i] = e.at + "." + key
		}
	}
	return keys
}

// list answers whether a pattern is allowed.
type list struct {
	leaf   map[string]bool // allowed as such
	whole  map[string]bool // allowed with all below
	prefix map[string]bool // leads to something allowed
}

var allowed = sync.OnceValue(func() list {
	l := list{leaf: map[string]bool{}, whole: map[string]bool{}, prefix: map[string]bool{}}
	for _, entries := range [][]entry{restrictedDomain, restrictedDevices} {
		for _, e := range entries {
			for _, path := range e.paths() {
				l.add(path)
			}
		}
	}
	return l
})

func (l list) add(path string) {
	target := l.leaf
	if below, ok := strings.CutSuffix(path, ".**"); ok {
		path, target = below, l.whole
	}
	target[path] = true
	for parent := range parents(path) {
		l.prefix[parent] = true
	}
}

// leads says whether the pattern is allowed or may hold something that is.
func (l list) leads(pattern string) bool {
	return l.prefix[pattern] || l.allows(pattern)
}

// allows says whether the pattern itself is on the list.
func (l list) allows(pattern string) bool {
	if l.leaf[pattern] || l.whole[pattern] {
		return true
	}
	for parent := range parents(pattern) {
		if l.whole[parent] {
			return true
		}
	}
	return false
}

// parents yields the patterns of all objects above pattern: of a.b[].c these
// are a.b[] and a.
func parents(pattern string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			dot := strings.LastIndexByte(pattern, '.')
			if dot < 0 {
				return
			}
			pattern = pattern[:dot]
			if !yield(pattern) {
				return
			}
		}
	}
}
