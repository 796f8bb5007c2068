package tree

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Lost says what of a document does not survive being written as XML and read
// again, with paths below at; nil when all does. The structs can say more than
// the XML can: a USB controller with a PCI bridge's settings, say. Such a part
// would otherwise be dropped without a word.
func Lost[T any](doc *T, at *field.Path) field.ErrorList {
	text, err := xml.Marshal(doc)
	if err != nil {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "cannot be written as libvirt XML: "+err.Error())}
	}
	var back T
	if err := xml.Unmarshal(text, &back); err != nil {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "makes libvirt XML that cannot be read again: "+err.Error())}
	}
	return LostIn(doc, &back, at)
}

// LostIn says what is set in a document and not the same in what came back of
// it, with paths below at. More may come back than went.
func LostIn[T any](doc, back *T, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	lost(reflect.ValueOf(doc).Elem(), reflect.ValueOf(back).Elem(), at, &errs)
	return errs
}

// OthersLost says which corrections did not come back as they went, and how
// they did.
func OthersLost(others, back Others, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, path := range slices.Sorted(maps.Keys(others)) {
		if len(errs) >= maxErrors {
			break
		}
		want, err := marshal(others[path])
		got, errBack := marshal(back[path])
		if err == nil && errBack == nil && bytes.Equal(want, got) {
			continue
		}
		here := at
		if path != "" {
			here = here.Child(path)
		}
		all, _ := marshal(back) // strings always can be
		const most = 400
		if len(all) > most {
			all = append(all[:most:most], "..."...)
		}
		errs = append(errs, field.Invalid(here.Child(OtherKey), field.OmitValueType{}, fmt.Sprintf(
			"must hold only what no other key says, of the object itself, in the shortest way; the document would be read back with %s", all)))
	}
	return errs
}

// lost compares what is set in v with what came back. More may come back than
// went: libvirtxml fills in variants that the XML implies.
func lost(v, back reflect.Value, at *field.Path, errs *field.ErrorList) {
	for v.Kind() == reflect.Pointer {
		if back.IsNil() {
			if !hollow(v) {
				*errs = append(*errs, lostError(at))
			}
			return
		}
		v, back = v.Elem(), back.Elem()
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() != back.Len() {
			*errs = append(*errs, lostError(at))
			return
		}
		for i := range v.Len() {
			lost(v.Index(i), back.Index(i), at.Index(i), errs)
		}
	case reflect.Struct:
		v, back = unmirror(v), unmirror(back)
		for _, m := range objectOf(v.Type()).members {
			f := v.FieldByIndex(m.index)
			if !present(f) {
				continue
			}
			if m.verbatim && strings.TrimSpace(f.String()) == strings.TrimSpace(back.FieldByIndex(m.index).String()) {
				continue // white space around XML is formatting
			}
			lost(f, back.FieldByIndex(m.index), at.Child(m.key), errs)
		}
	default:
		if !v.Equal(back) {
			*errs = append(*errs, lostError(at))
		}
	}
}

// hollow says whether a pointer leads to an object in which nothing is set, of
// a kind that can hold something: leaving it out of the XML loses nothing.
func hollow(v reflect.Value) bool {
	v = v.Elem()
	if v.Kind() != reflect.Struct || objectOf(v.Type()).flag() {
		return false
	}
	for _, m := range objectOf(v.Type()).members {
		if f := v.FieldByIndex(m.index); present(f) && (f.Kind() != reflect.Pointer || !hollow(f)) {
			return false
		}
	}
	return true
}

func lostError(at *field.Path) *field.Error {
	return field.Invalid(at, field.OmitValueType{},
		"has no place in libvirt's XML here: remove it, or set the type that it belongs to")
}
