package documents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	kjson "sigs.k8s.io/json"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Misfit is a value in a document that a type cannot hold.
type Misfit struct {
	// Path is where it is; empty for the whole document.
	Path string
	// Problem says what is there and what is expected.
	Problem string
}

// Error names the place.
func (m *Misfit) Error() string {
	if m.Path == "" {
		return "the document: " + m.Problem
	}
	return m.Path + ": " + m.Problem
}

// Misfits says of each value in a document, in JSON, that a type cannot hold
// where it is, what it is and what is expected there; nil where there is none.
// All errors are *Misfit, joined.
func Misfits(data []byte, t reflect.Type) error { return errors.Join(misfitsAt("", data, t)...) }

func misfitsAt(path string, data []byte, t reflect.Type) []error {
	err := kjson.UnmarshalCaseSensitivePreserveInts(data, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	// A part that does not fit says more than the whole.
	var all []error
	for _, part := range parts(path, data, t) {
		all = append(all, misfitsAt(part.path, part.data, part.of)...)
	}
	if len(all) > 0 {
		return all
	}
	what := expected(t)
	if what == "" {
		return []error{&Misfit{path, fmt.Sprintf("%s: %v", brief(data), err)}}
	}
	return []error{&Misfit{path, fmt.Sprintf("%s is given: expected is %s", brief(data), what)}}
}

type part struct {
	path string
	data []byte
	of   reflect.Type
}

// parts are the fields, items or values of what a document has for a type; none
// where it has something else.
func parts(path string, data []byte, t reflect.Type) []part {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	var out []part
	switch t.Kind() {
	case reflect.Slice:
		var items []json.RawMessage
		_ = json.Unmarshal(data, &items)
		for i, item := range items {
			out = append(out, part{fmt.Sprintf("%s[%d]", path, i), item, t.Elem()})
		}
	case reflect.Map, reflect.Struct:
		var values map[string]json.RawMessage
		_ = json.Unmarshal(data, &values)
		fields := fieldsOf(t)
		for _, name := range slices.Sorted(maps.Keys(values)) {
			of, known := fields[name]
			if t.Kind() == reflect.Map {
				of, known = t.Elem(), true
			}
			if known {
				out = append(out, part{strings.TrimPrefix(path+"."+name, "."), values[name], of})
			}
		}
	}
	return out
}

// fieldsOf are a struct's fields by their names in JSON, those of embedded
// structs too.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct {
		return out
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

// choices are the texts of which a field takes one, where people write words that
// YAML reads as something else.
var choices = map[reflect.Type][]string{
	reflect.TypeFor[v1alpha1.PowerState](): {
		string(v1alpha1.PowerRunning), string(v1alpha1.PowerStopped), string(v1alpha1.PowerPaused), string(v1alpha1.PowerSuspended),
	},
}

// expected says what a type takes, or "" where only its own decoder knows.
func expected(t reflect.Type) string {
	if t == reflect.TypeFor[resource.Quantity]() {
		return "a quantity, such as 512Mi or 4Gi"
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return ""
	}
	if among := choices[t]; among != nil {
		return "one of " + strings.Join(among, ", ")
	}
	switch t.Kind() {
	case reflect.String:
		return `text: put it in quotes, as in "2" (no, n, off and the like are false in YAML without them)`
	case reflect.Bool:
		return "true or false, without quotes"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number, without quotes"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "names with values, as in {key: value}"
	case reflect.Struct:
		return "an object with fields such as " + strings.Join(some(t), ", ")
	}
	return ""
}

// some are the first fields of a struct as it lists them, enough to know it by.
func some(t reflect.Type) []string {
	const enough = 3
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" && len(out) < enough {
			out = append(out, name)
		}
	}
	return out
}

// brief is a value as JSON in one line that is not too long.
func brief(data []byte) string {
	const most = 60
	var out bytes.Buffer
	if json.Compact(&out, data) != nil {
		return string(data)
	}
	if text := []rune(out.String()); len(text) > most {
		return string(text[:most]) + "..."
	}
	return out.String()
}
