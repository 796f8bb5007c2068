package tree

import (
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxErrors bounds what one document can make us say (and search).
const maxErrors = 50

// Decode reads a document in Domus's style into a libvirtxml struct. Errors
// carry the full path below at; with any error the struct is not to be used.
func Decode[T any](raw []byte, at *field.Path) (*T, field.ErrorList) {
	out := new(T)
	n, err := scan(raw)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	d := decoder{}
	d.value(&n, reflect.ValueOf(out).Elem(), at)
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	return out, nil
}

type decoder struct {
	errs field.ErrorList
	// others gathers the values of OtherKey; nil where that key is not known.
	others Others
	// root is the path of the document.
	root *field.Path
}

func (d *decoder) fail(err *field.Error) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, err)
	}
}

func (d *decoder) value(n *node, v reflect.Value, at *field.Path) {
	if len(d.errs) >= maxErrors {
		return
	}
	if n.kind == kindNull {
		d.fail(field.Invalid(at, nil, "must not be null: give a value, or leave the key out"))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.Struct:
		d.object(n, v, at)
	default:
		if err := setScalar(n, v, at); err != nil {
			d.fail(err)
		}
	}
}

func (d *decoder) list(n *node, v reflect.Value, at *field.Path) {
	if n.kind != kindList {
		d.fail(field.TypeInvalid(at, n.value(), "must be a list, even of one: write [...] around it, or - before it in YAML"))
		return
	}
	// An empty list is not nil: it says that there shall be none.
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i := range n.items {
		d.value(&n.items[i], v.Index(i), at.Index(i))
	}
}

func (d *decoder) object(n *node, v reflect.Value, at *field.Path) {
	o := objectOf(v.Type())
	if o.flag() {
		if n.kind != kindBool || !n.truth {
			d.fail(field.TypeInvalid(at, n.value(), "must be true, for the element holds nothing: leave the key out if it shall not be there"))
		}
		return
	}
	if n.kind != kindObject {
		d.fail(field.TypeInvalid(at, n.value(), "must be an object with some of the keys "+o.keyList()))
		return
	}
	seen := make(map[string]bool, len(n.keys))
	var variants []string
	for i, key := range n.keys {
		if len(d.errs) >= maxErrors {
			return
		}
		if seen[key] {
			d.fail(field.Duplicate(at.Child(short(key)), field.OmitValueType{}))
			continue
		}
		seen[key] = true
		if key == OtherKey && d.others != nil {
			d.other(&n.items[i], at)
			continue
		}
		m := o.byKey[key]
		if m == nil {
			d.fail(field.Invalid(at.Child(short(key)), field.OmitValueType{}, unknown(key, o)))
			continue
		}
		if m.variant {
			variants = append(variants, key)
		}
		d.value(&n.items[i], v.FieldByIndex(m.index), at.Child(key))
	}
	if len(variants) > 1 {
		d.fail(field.Invalid(at, field.OmitValueType{}, "must have only one of "+strings.Join(variants, ", ")))
	}
	mirror(v)
}

// item is the path of an item of a list.
func item(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// short keeps a hostile key from filling an error message.
func short(key string) string {
	const most = 64
	if runes := []rune(key); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return key
}
