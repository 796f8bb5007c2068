package tree

import (
	"encoding/xml"
	"reflect"
	"strconv"
	"strings"
)

// Object is an object of a document and the element that it stands for.
type Object struct {
	// Path is as field.Path writes it: devices.disks[0].source; "" for the
	// document itself.
	Path string
	// Element is the way from the root element, counting elements of one name
	// from 1: devices[1]/disk[1]/source[1]; "" for the root itself.
	Element string
}

// Objects lists the objects of a libvirtxml struct (given by pointer) with the
// elements that its tags say they are written to, each before what it holds.
// Where several objects share an element, such as a choice and its variant, it
// is the outermost's. Some of libvirtxml's own marshallers write elsewhere, so
// the element may not be there.
func Objects(doc any) []Object {
	o := objectLister{taken: map[string]bool{"": true}}
	o.out = append(o.out, Object{})
	o.list(reflect.ValueOf(doc), "", "")
	return o.out
}

type objectLister struct {
	out   []Object
	taken map[string]bool
}

// list lists what an object holds.
func (o *objectLister) list(v reflect.Value, path, element string) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	v = unmirror(v)
	for _, m := range objectOf(v.Type()).members {
		f := v.FieldByIndex(m.index)
		if !present(f) || m.attribute {
			continue
		}
		for f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		at := join(path, m.key)
		if m.inline {
			if f.Kind() == reflect.Struct {
				o.list(f, at, element)
			}
			continue
		}
		steps := elementSteps(m, f.Type())
		if len(steps) == 0 {
			continue
		}
		name := element
		for _, step := range steps[:len(steps)-1] {
			name = joinElement(name, step, 1)
		}
		last := steps[len(steps)-1]
		if f.Kind() != reflect.Slice {
			o.one(f, at, joinElement(name, last, 1))
			continue
		}
		for i := range f.Len() {
			o.one(f.Index(i), at+"["+strconv.Itoa(i)+"]", joinElement(name, last, i+1))
		}
	}
}

func (o *objectLister) one(v reflect.Value, path, element string) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || objectOf(v.Type()).flag() || o.taken[element] {
		return
	}
	o.taken[element] = true
	o.out = append(o.out, Object{Path: path, Element: element})
	o.list(v, path, element)
}

// elementSteps are the names of the elements that lead to a field.
func elementSteps(m member, t reflect.Type) []string {
	if m.xmlName != "" && m.xmlName != "-" {
		return strings.Split(m.xmlName, ">")
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	// Namespaced commands are named by their own type.
	if f, ok := t.FieldByName("XMLName"); ok && f.Type == reflect.TypeFor[xml.Name]() {
		tag, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if name := tag[strings.LastIndex(tag, " ")+1:]; name != "" {
			return []string{name}
		}
	}
	return nil
}

func joinElement(path, name string, n int) string {
	step := name + "[" + strconv.Itoa(n) + "]"
	if path == "" {
		return step
	}
	return path + "/" + step
}
