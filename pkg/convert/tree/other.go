package tree

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// OtherKey is the key, in any object, of what libvirtxml's struct for it does
// not hold: parts of the XML that libvirt knows and libvirtxml drops, adds or
// changes. No struct has a field of that name.
const OtherKey = "other"

// Other corrects the element that an object stands for, once libvirtxml has
// written it.
type Other struct {
	// At leads from that element to another below it: source, or
	// sources/source[2], counting elements of one name from 1. It is the
	// element itself when empty.
	At string `json:"at,omitempty"`
	// Attributes are set, by their names.
	Attributes map[string]string `json:"attributes,omitempty"`
	// Text becomes the element's text; an empty one removes it.
	Text *string `json:"text,omitempty"`
	// Elements are added at the end, each as XML.
	Elements []string `json:"elements,omitempty"`
	// Omit names what is left out: @type for an attribute, source or source[2]
	// for an element.
	Omit []string `json:"omit,omitempty"`
}

// Others are corrections by the path of their objects, as field.Path writes it:
// devices.disks[0]; of the document itself by "".
type Others map[string][]Other

// DecodeAll is Decode for documents with OtherKey, whose values it returns.
func DecodeAll[T any](raw []byte, at *field.Path) (*T, Others, field.ErrorList) {
	out := new(T)
	n, err := scan(raw)
	if err != nil {
		return nil, nil, field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	d := decoder{others: Others{}, root: at}
	d.value(&n, reflect.ValueOf(out).Elem(), at)
	if len(d.errs) > 0 {
		return nil, nil, d.errs
	}
	return out, d.others, nil
}

// EncodeAll is Encode with corrections in their objects. Those whose object is
// not in the document are an error.
func EncodeAll(doc any, others Others) ([]byte, error) {
	return encode(doc, others)
}

// other reads the value of OtherKey in the object at a path.
func (d *decoder) other(n *node, object *field.Path) {
	at := object.Child(OtherKey)
	if n.kind != kindList || len(n.items) == 0 {
		d.fail(field.TypeInvalid(at, n.value(), "must be a list of at least one"))
		return
	}
	var all []Other
	decoder := json.NewDecoder(bytes.NewReader(n.json(nil)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		d.fail(field.Invalid(at, field.OmitValueType{}, "must be a list of objects with the keys at, attributes, text, elements, omit: "+err.Error()))
		return
	}
	d.others[below(d.root, object)] = all
}

// below is the path of an object from the document down.
func below(root, object *field.Path) string {
	if object == root {
		return ""
	}
	path := object.String()
	if root != nil {
		path = strings.TrimPrefix(path, root.String())
	}
	return strings.TrimPrefix(path, ".")
}

// json writes a node back.
func (n *node) json(out []byte) []byte {
	quote := func(s string) []byte {
		raw, _ := json.Marshal(s) // strings always can be
		return raw
	}
	switch n.kind {
	case kindNull:
		return append(out, "null"...)
	case kindBool:
		return strconv.AppendBool(out, n.truth)
	case kindNumber:
		return append(out, n.text...)
	case kindString:
		return append(out, quote(n.text)...)
	}
	open, end := byte('['), byte(']')
	if n.kind == kindObject {
		open, end = '{', '}'
	}
	out = append(out, open)
	for i := range n.items {
		if i > 0 {
			out = append(out, ',')
		}
		if n.kind == kindObject {
			out = append(append(out, quote(n.keys[i])...), ':')
		}
		out = n.items[i].json(out)
	}
	return append(out, end)
}
