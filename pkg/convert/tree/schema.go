package tree

import (
	"encoding/xml"
	"reflect"
	"strings"
	"sync"
)

// member is one key of an object and the struct field behind it.
type member struct {
	key string
	// xmlName is the element's or attribute's name, for suggestions; it may be
	// empty.
	xmlName string
	// index leads to the field, through embedded structs.
	index []int
	typ   reflect.Type
	// always says that a zero number is written, as it is in the XML.
	always bool
	// attribute says that it is an attribute or text; inline that what it holds
	// is written to the element of the object that it is in.
	attribute, inline bool
	// verbatim says that it is XML as it stands.
	verbatim bool
	// variant says that at most one member with this mark may be set.
	variant bool
}

// object is the schema of a struct.
type object struct {
	members []member
	byKey   map[string]*member
}

// flag says that the struct holds nothing, so that only its presence counts.
func (o *object) flag() bool { return len(o.members) == 0 }

var (
	objects     sync.Map // reflect.Type to *object
	xmlNameType = reflect.TypeFor[xml.Name]()
)

func objectOf(t reflect.Type) *object {
	if o, ok := objects.Load(t); ok {
		return o.(*object)
	}
	o := &object{byKey: map[string]*member{}}
	o.collect(t, nil)
	variants := 0
	for _, m := range o.members {
		if m.variant {
			variants++
		}
	}
	for i := range o.members {
		m := &o.members[i]
		m.variant = m.variant && variants > 1
		o.byKey[m.key] = m
	}
	stored, _ := objects.LoadOrStore(t, o)
	return stored.(*object)
}

func (o *object) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == xmlNameType || mirrored(t, f.Name) {
			continue
		}
		at := append(append([]int(nil), index...), i)
		if f.Anonymous {
			o.collect(f.Type, at)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("xml"), ",")
		tag := f.Tag.Get("xml")
		m := member{
			key:       Key(f.Name),
			attribute: strings.Contains(options, "attr") || strings.Contains(options, "chardata") || strings.Contains(options, "innerxml"),
			verbatim:  strings.Contains(options, "innerxml"),
			inline:    (tag == "-" || isAddress(t)) && isStructPointer(f.Type),
			xmlName:   strings.TrimPrefix(name[strings.LastIndex(name, " ")+1:], "-"),
			index:     at,
			typ:       f.Type,
			always:    tag != "" && tag != "-" && !strings.Contains(options, "omitempty"),
			// libvirtxml tags the variants of a choice with "-" and marshals
			// the first that is set; an address's variants have no tag at all.
			variant: (tag == "-" || isAddress(t)) && isStructPointer(f.Type),
		}
		o.members = append(o.members, m)
	}
}

func isStructPointer(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}
