package objects

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// mapping is how documents of a kind, of type T in libvirtxml, are objects of
// type O, and back.
type mapping[T any, O client.Object] struct {
	kind xmldoc.Kind
	// check refuses documents that cannot be read as they are; nil where all can.
	check func(doc *document.Document) error
	// empty is an object without anything but its kind.
	empty func() O
	// at is where the object holds the rest of the document, which part is.
	at   *field.Path
	part func(O) **runtime.RawExtension
	// concerns are what typed fields say, each a file. What none lifts stays in
	// the rest.
	concerns []concern[T, O]
	// whole are elements, by JSON pointer, that mean something only as a whole,
	// and so keep or lose their notation as a whole.
	whole []string
	// lifted are elements whose number a concern lifts while the rest of them
	// stays.
	lifted []string
	// metadata says that the document has <metadata>.
	metadata bool
}

// concern maps one thing to typed fields and back.
type concern[T any, O client.Object] struct {
	// lift moves what the typed fields can say from the document to them.
	lift func(doc *T, obj O)
	// lower gives the document what the typed fields say, as libvirt itself
	// would write it. It refuses what the rest says against them.
	lower func(obj O, doc *T) field.ErrorList
}

// read makes an object of a document.
func (m *mapping[T, O]) read(doc *document.Document, opts FromOptions) (obj O, err error) {
	is, err := unmarshalObject(doc.Value)
	if err != nil {
		return obj, blame(doc, "", err)
	}
	memo, err := m.cutMemo(doc, is)
	if err != nil {
		return obj, blame(doc, "metadata", err)
	}
	if obj, err = m.objectOf(is); err != nil {
		return obj, blame(doc, "", err)
	}
	if obj, err = recall(obj, memo); err != nil {
		return obj, blame(doc, "metadata", err)
	}
	if opts.Namespace != "" && m.namespaced() {
		obj.SetNamespace(opts.Namespace)
	}
	if opts.Name != "" && opts.Name != obj.GetName() {
		obj.SetName(opts.Name)
		if err := m.note(obj, is); err != nil {
			return obj, blame(doc, "", err)
		}
	}
	if raw, err := Manifest(obj); err != nil {
		return obj, blame(doc, "", err)
	} else if len(raw) > v1alpha1.MaxDocumentBytes {
		return obj, xmldoc.Errors{{File: doc.XML.File, Problem: fmt.Sprintf("is too large as an object: %d bytes, and at most %d are accepted", len(raw), v1alpha1.MaxDocumentBytes),
			Remedy: "remove what is not needed, such as metadata"}}
	}
	return obj, nil
}

// objectOf is the object of a document in the style of package tree.
func (m *mapping[T, O]) objectOf(is map[string]any) (obj O, err error) {
	obj = m.empty()
	raw, err := marshal(is)
	if err != nil {
		return obj, err
	}
	doc, others, errs := tree.DecodeAll[T](raw, nil)
	if len(errs) > 0 {
		return obj, errs.ToAggregate()
	}
	for _, c := range m.concerns {
		c.lift(doc, obj)
	}
	rest, err := restOf(doc, others)
	if err != nil {
		return obj, err
	}
	for _, key := range m.lifted {
		if element, ok := rest[key].(map[string]any); ok && fmt.Sprint(element["value"]) == "0" {
			delete(element, "value")
		}
	}
	if m.metadata {
		liftMetadata(rest, obj)
	}
	if len(rest) > 0 {
		if raw, err = marshal(rest); err != nil {
			return obj, err
		}
		*m.part(obj) = &runtime.RawExtension{Raw: raw}
	}
	return obj, m.note(obj, is)
}

// restOf is what is left of a document, with the corrections of what is left.
func restOf(doc any, others tree.Others) (map[string]any, error) {
	kept := tree.Others{}
	for _, o := range tree.Objects(doc) {
		if other := others[o.Path]; len(other) > 0 {
			kept[o.Path] = other
		}
	}
	raw, err := tree.EncodeAll(doc, kept)
	if err != nil {
		return nil, err
	}
	return unmarshalObject(raw)
}

// note notes in the object what of its document its fields do not tell.
func (m *mapping[T, O]) note(obj O, is map[string]any) error {
	derived, errs := m.derive(obj)
	if len(errs) > 0 {
		return errs.ToAggregate()
	}
	d, err := compare(derived, is, func(pointer string) bool { return slices.Contains(m.whole, pointer) })
	if err != nil {
		return err
	}
	return setDelta(obj, d)
}

// derive is the document that an object's fields tell.
func (m *mapping[T, O]) derive(obj O) (map[string]any, field.ErrorList) {
	raw := []byte("{}")
	if part := *m.part(obj); part != nil && len(part.Raw) > 0 {
		raw = part.Raw
	}
	doc, others, errs := tree.DecodeAll[T](raw, m.at)
	if len(errs) > 0 {
		return nil, errs
	}
	for _, c := range m.concerns {
		errs = append(errs, c.lower(obj, doc)...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	raw, err := tree.EncodeAll(doc, others)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(m.at, field.OmitValueType{}, err.Error())}
	}
	derived, err := unmarshalObject(raw)
	if err != nil {
		return nil, field.ErrorList{field.InternalError(m.at, err)}
	}
	if m.metadata {
		return derived, lowerMetadata(obj, derived, m.at)
	}
	return derived, nil
}

// noted is the document of an object with the notation that it came with. A
// notation that no longer holds is taken out of the object.
func (m *mapping[T, O]) noted(obj O) (map[string]any, field.ErrorList) {
	derived, errs := m.derive(obj)
	if len(errs) > 0 {
		return nil, errs
	}
	if err := applyDelta(obj, derived); err != nil {
		return nil, field.ErrorList{field.Invalid(notationPath, field.OmitValueType{}, "cannot be read: remove it, or restore it: "+err.Error())}
	}
	return derived, nil
}

// write writes the document of an object.
func (m *mapping[T, O]) write(given O, opts ToOptions) ([]byte, error) {
	obj, err := m.own(given)
	if err != nil {
		return nil, err
	}
	is, errs := m.noted(obj)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	text, err := m.format(is)
	if err != nil || opts.Bare {
		return text, err
	}
	// What is read of it is what the XML tells of the object.
	doc, err := document.Read("", text, xmldoc.Limits{Bytes: len(text) + 1})
	if err != nil {
		return nil, fmt.Errorf("reading what was written: %w", err)
	}
	back, err := unmarshalObject(doc.Value)
	if err != nil {
		return nil, fmt.Errorf("reading what was written: %w", err)
	}
	told, err := m.objectOf(back)
	if err != nil {
		return nil, fmt.Errorf("reading what was written: %w", err)
	}
	memo, err := memoDelta(told, obj)
	if err != nil || len(memo) == 0 {
		return text, err
	}
	return m.withMemo(text, is, memo)
}

func (m *mapping[T, O]) format(is map[string]any) ([]byte, error) {
	raw, err := marshal(is)
	if err != nil {
		return nil, err
	}
	text, errs := document.Write(m.kind, raw, m.at)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return text, nil
}

// own is a copy of an object less what only its cluster knows of it.
func (m *mapping[T, O]) own(given O) (O, error) {
	obj := m.empty()
	raw, err := Manifest(given)
	if err != nil {
		return obj, err
	}
	if err := json.Unmarshal(raw, obj); err != nil {
		return obj, fmt.Errorf("reading %s: %w", given.GetName(), err)
	}
	obj.GetObjectKind().SetGroupVersionKind(m.empty().GetObjectKind().GroupVersionKind())
	if vm, ok := any(given).(*v1alpha1.VirtualMachine); ok {
		// An object's UID is what its domain is known by.
		any(obj).(*v1alpha1.VirtualMachine).Spec.UUID = vm.DomainUUID()
	}
	return obj, nil
}

func (m *mapping[T, O]) rename(obj O, name string) error {
	is, errs := m.noted(obj)
	if len(errs) > 0 {
		return errs.ToAggregate()
	}
	obj.SetName(name)
	return m.note(obj, is)
}

func (m *mapping[T, O]) namespaced() bool { return m.kind != xmldoc.KindPool }

// blame says that a document, or the element of that name in it, is to blame.
func blame(doc *document.Document, element string, err error) error {
	at := doc.XML.Root
	if e := at.Child(element); e != nil {
		at = e
	}
	return xmldoc.Errors{{File: doc.XML.File, Line: at.Line, Column: at.Column, Element: at.Path(), Problem: err.Error()}}
}

// givenTwice is the error for what a typed field and the rest both say.
func givenTwice(at *field.Path, value any, typed string) *field.Error {
	return field.Invalid(at, value, "is given twice, and differently: remove it, or make it what "+typed+" says")
}
