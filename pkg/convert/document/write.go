package document

import (
	"bytes"
	"encoding/xml"
	"errors"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type (
	at          = *field.Path
	fieldErrors = field.ErrorList
)

// Write writes a document in Domus's style as libvirt XML, indented, the same
// bytes for the same document. Errors carry the path below at, and what XML has
// no place for is one. What Write returns without one is read by Read as a
// document that says the same, and perhaps what libvirtxml says unasked.
func Write(kind xmldoc.Kind, value []byte, at *field.Path) ([]byte, field.ErrorList) {
	f, ok := formats[kind]
	if !ok {
		return nil, field.ErrorList{field.NotSupported(at, kind, xmldoc.Kinds)}
	}
	return f.write(value, at)
}

func write[T any](raw []byte, at at) ([]byte, fieldErrors) {
	value, others, errs := tree.DecodeAll[T](raw, at)
	if len(errs) > 0 {
		return nil, errs
	}
	return Marshal(value, others, at)
}

// Marshal writes a libvirtxml struct with its corrections as XML, as Write does.
func Marshal[T any](value *T, others tree.Others, at *field.Path) ([]byte, field.ErrorList) {
	fail := func(problem string) field.ErrorList {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, problem)}
	}
	doc, err := encodeXML(value)
	if err != nil {
		return nil, fail("cannot be written as libvirt XML: " + err.Error())
	}
	if err := correct(value, doc, others); err != nil {
		wrong := &correctionError{}
		if !errors.As(err, &wrong) {
			return nil, fail(err.Error())
		}
		return nil, field.ErrorList{field.Invalid(correctionPath(at, wrong), field.OmitValueType{}, wrong.problem)}
	}
	if len(others) == 0 {
		if errs, sure := unsaidPlain(value, doc, at); sure {
			if len(errs) > 0 {
				return nil, errs
			}
			return doc.Format(Rules(), Prefixes()), nil
		}
	}
	text := doc.Format(Rules(), Prefixes())
	if errs := unsaid(value, others, text, at); len(errs) > 0 {
		return nil, errs
	}
	return text, nil
}

// unsaidPlain is unsaid for a document without corrections, doc its XML. It is
// not sure where reading it might find something to correct.
func unsaidPlain[T any](value *T, doc *xmldoc.Document, at *field.Path) (errs field.ErrorList, sure bool) {
	back, err := decodeXML[T](doc, xmldoc.Limits{Bytes: len(doc.Source)})
	if err != nil {
		return nil, false
	}
	again, err := xml.Marshal(back)
	if err != nil || !bytes.Equal(again, doc.Source) {
		return nil, false
	}
	return tree.LostIn(value, back, at), true
}

// correctionPath is where a correction stands.
func correctionPath(at *field.Path, wrong *correctionError) *field.Path {
	path := at
	if wrong.path != "" {
		path = path.Child(wrong.path)
	}
	path = path.Child(tree.OtherKey).Index(wrong.index)
	if wrong.key != "" {
		path = path.Child(wrong.key)
	}
	return path
}

// unsaid is what of a document its XML does not say.
func unsaid[T any](value *T, others tree.Others, text []byte, at *field.Path) field.ErrorList {
	limits := xmldoc.Limits{Bytes: len(text) + 1, Depth: ownDepth}
	fail := func(err error) field.ErrorList {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "makes XML that is not read as the same: "+err.Error())}
	}
	doc, err := xmldoc.Parse("", text, limits)
	if err != nil {
		return fail(err)
	}
	if _, err := doc.Kind(); err != nil {
		return fail(err)
	}
	raw, _, err := read[T](doc, limits)
	if err != nil {
		return fail(err)
	}
	back, backOthers, errs := tree.DecodeAll[T](raw, at)
	if len(errs) > 0 {
		return errs
	}
	errs = tree.LostIn(value, back, at)
	for _, err := range errs {
		if len(others) > 0 {
			err.Detail += "; or what the key other says changes it, which only keys of their own may do"
		}
	}
	return append(errs, tree.OthersLost(others, backOthers, at)...)
}
