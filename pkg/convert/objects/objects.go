package objects

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// FromOptions say what a document does not.
type FromOptions struct {
	// Namespace is the object's; where it is empty, it is what the document tells
	// of it, if anything. Objects of the cluster have none.
	Namespace string
	// Name is the object's. By default it is made of the name in the document.
	Name string
	// Limits bound the document; 128 KiB by default.
	Limits xmldoc.Limits
}

// ToOptions say how an object is written.
type ToOptions struct {
	// Bare leaves out what only Domus understands: labels, where to run and the
	// like are then lost on the way back.
	Bare bool
}

// FromXML reads a libvirt document of any kind; file is what it is called by in
// errors, which are of type xmldoc.Errors and name line and element. The object
// has its kind, metadata and spec.
func FromXML(file string, text []byte, opts FromOptions) (client.Object, error) {
	doc, err := document.Read(file, text, opts.Limits)
	if err != nil {
		return nil, err
	}
	return FromDocument(doc, opts)
}

// FromDocument is FromXML for a document that has been read.
func FromDocument(doc *document.Document, opts FromOptions) (client.Object, error) {
	if err := checkTwice(doc); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if k.document() == doc.Kind {
			return k.fromDocument(doc, opts)
		}
	}
	return nil, blame(doc, "", fmt.Errorf("<%s> is not a kind of document that there are objects of", doc.Kind))
}

// ToXML writes the libvirt document of an object, with nothing in it that the
// object does not say. An error is about the object, with paths in it.
func ToXML(obj client.Object, opts ToOptions) ([]byte, error) {
	if k := kindOf(obj); k != nil {
		return k.toXML(obj, opts)
	}
	return nil, fmt.Errorf("writing XML: objects of type %T are no libvirt documents", obj)
}

// Rename gives an object that was made of a document another name, and keeps
// that in the document for the way back.
func Rename(obj client.Object, name string) error {
	if k := kindOf(obj); k != nil {
		return k.renamed(obj, name)
	}
	return fmt.Errorf("renaming: objects of type %T are no libvirt documents", obj)
}
