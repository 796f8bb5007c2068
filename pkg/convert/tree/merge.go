package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
)

// Merge lays a document of type T over another, as values over defaults. What
// only one of them says is kept; objects are merged key by key; of all else, and
// of lists as a whole, over's stands, also when it is empty. Where one variant
// of several may be chosen, over's choice leaves none of under's others.
//
// Either may be empty. Merge does not judge: keys that T does not have are kept.
// It fails where a document is not a JSON object. The result has sorted keys, so
// that equal documents give equal bytes, and is nil when both are empty.
func Merge[T any](over, under []byte) ([]byte, error) {
	o, err := readObject(over)
	if err != nil {
		return nil, err
	}
	u, err := readObject(under)
	if err != nil {
		return nil, err
	}
	if o == nil && u == nil {
		return nil, nil
	}
	return json.Marshal(mergeObjects(o, u, reflect.TypeFor[T]()))
}

// Without takes out of a document what is equal in another: what is left is the
// document's own. An object of which nothing is left goes too. It fails where a
// document is not a JSON object, and is nil when nothing is left.
func Without(document, other []byte) ([]byte, error) {
	d, err := readObject(document)
	if err != nil {
		return nil, err
	}
	o, err := readObject(other)
	if err != nil {
		return nil, err
	}
	subtract(d, o)
	if len(d) == 0 {
		return nil, nil
	}
	return json.Marshal(d)
}

// readObject reads a JSON object with its numbers as they are written; nil for
// nothing.
func readObject(raw []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("reading a document: there is more behind its end")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("reading a document: it is not an object")
	}
	return m, nil
}

// mergeObjects merges objects of a struct type; t is nil where the schema does
// not know them.
func mergeObjects(over, under map[string]any, t reflect.Type) map[string]any {
	var o *object
	if t != nil {
		o = objectOf(t)
	}
	chosen := false
	for key := range over {
		chosen = chosen || o.variant(key)
	}
	out := make(map[string]any, len(over)+len(under))
	for key, value := range under {
		if _, said := over[key]; !said && (!chosen || !o.variant(key)) {
			out[key] = value
		}
	}
	for key, value := range over {
		mine, isObject := value.(map[string]any)
		theirs, both := under[key].(map[string]any)
		if isObject && both {
			value = mergeObjects(mine, theirs, o.structOf(key))
		}
		out[key] = value
	}
	return out
}

// variant says whether the key is one of which only one may be set.
func (o *object) variant(key string) bool {
	return o != nil && o.byKey[key] != nil && o.byKey[key].variant
}

// structOf is the struct behind a key, nil when there is none.
func (o *object) structOf(key string) reflect.Type {
	if o == nil || o.byKey[key] == nil {
		return nil
	}
	t := o.byKey[key].typ
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// subtract takes out of d what o has equal.
func subtract(d, o map[string]any) {
	for key, theirs := range o {
		mine, there := d[key]
		if !there {
			continue
		}
		inner, isObject := mine.(map[string]any)
		other, both := theirs.(map[string]any)
		switch {
		case reflect.DeepEqual(mine, theirs):
			delete(d, key)
		case isObject && both:
			if subtract(inner, other); len(inner) == 0 {
				delete(d, key)
			}
		}
	}
}
