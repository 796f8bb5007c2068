package objects

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// kind is a mapping of whatever types.
type kind interface {
	// document is the kind of the documents, and has says whether an object is of the
	// type that they are.
	document() xmldoc.Kind
	has(obj client.Object) bool
	fromDocument(doc *document.Document, opts FromOptions) (client.Object, error)
	// toXML and renamed take objects of that type only.
	toXML(obj client.Object, opts ToOptions) ([]byte, error)
	renamed(obj client.Object, name string) error
}

// kinds are all that there are.
var kinds = []kind{machines, networks, disks, pools, snapshots}

// kindOf is the one that the object is of, or nil.
func kindOf(obj client.Object) kind {
	for _, k := range kinds {
		if k.has(obj) {
			return k
		}
	}
	return nil
}

func (m *mapping[T, O]) document() xmldoc.Kind { return m.kind }

func (m *mapping[T, O]) has(obj client.Object) bool {
	_, is := obj.(O)
	return is
}

func (m *mapping[T, O]) fromDocument(doc *document.Document, opts FromOptions) (client.Object, error) {
	if m.check != nil {
		if err := m.check(doc); err != nil {
			return nil, err
		}
	}
	return m.read(doc, opts)
}

func (m *mapping[T, O]) toXML(obj client.Object, opts ToOptions) ([]byte, error) {
	return m.write(obj.(O), opts)
}

func (m *mapping[T, O]) renamed(obj client.Object, name string) error {
	return m.rename(obj.(O), name)
}
