package tree

import (
	"reflect"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Walk visits all that is set in a libvirtxml struct (given by pointer), each
// object before what it holds. pattern is the dotted keys from the document
// down with [] for any place in a list: devices.disks[].source; at is the exact
// path. What lies below is left out where visit returns false.
func Walk(doc any, at *field.Path, visit func(pattern string, at *field.Path) bool) {
	walk(reflect.ValueOf(doc), "", at, visit)
}

func walk(v reflect.Value, pattern string, at *field.Path, visit func(string, *field.Path) bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			walk(v.Index(i), pattern+"[]", at.Index(i), visit)
		}
		return
	}
	if pattern != "" && !visit(pattern, at) {
		return
	}
	if v.Kind() != reflect.Struct {
		return
	}
	v = unmirror(v)
	for _, m := range objectOf(v.Type()).members {
		if f := v.FieldByIndex(m.index); present(f) {
			walk(f, join(pattern, m.key), at.Child(m.key), visit)
		}
	}
}

// LeafKind is what stands at the end of a path.
type LeafKind string

const (
	// LeafString is a string.
	LeafString LeafKind = "string"
	// LeafNumber is a number.
	LeafNumber LeafKind = "number"
	// LeafFlag is an element that holds nothing, written true.
	LeafFlag LeafKind = "flag"
	// LeafAgain is an object of a kind that the path has passed through
	// already, such as the backing store of a backing store.
	LeafAgain LeafKind = "again"
)

// Leaf is a path of the schema that leads to no further key.
type Leaf struct {
	// Path is a pattern as in Walk.
	Path string
	Kind LeafKind
}

// Leaves lists every leaf that documents of type T can have, in schema order.
func Leaves[T any]() []Leaf {
	var out []Leaf
	leaves(reflect.TypeFor[T](), "", nil, &out)
	return out
}

func leaves(t reflect.Type, path string, above []reflect.Type, out *[]Leaf) {
	switch t.Kind() {
	case reflect.Pointer:
		leaves(t.Elem(), path, above, out)
		return
	case reflect.Slice:
		leaves(t.Elem(), path+"[]", above, out)
		return
	case reflect.String:
		*out = append(*out, Leaf{path, LeafString})
		return
	case reflect.Struct:
	default:
		*out = append(*out, Leaf{path, LeafNumber})
		return
	}
	for _, a := range above {
		if a == t {
			*out = append(*out, Leaf{path, LeafAgain})
			return
		}
	}
	o := objectOf(t)
	if o.flag() {
		*out = append(*out, Leaf{path, LeafFlag})
		return
	}
	above = append(above[:len(above):len(above)], t)
	for _, m := range o.members {
		leaves(m.typ, join(path, m.key), above, out)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
