package objects

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// FromOptions say what a document does not.
type FromOptions struct {
	// Namespace is the object's; it stays empty when this is, unless the
	// document tells.
	Namespace string
	// Name is the object's. By default it is made of the name in the document.
	Name string
}

// ToOptions say how an object is written.
type ToOptions struct {
	// Bare leaves out what only Domus understands: labels, where to run and the
	// like are then lost on the way back.
	Bare bool
}

// FromXML reads a libvirt document of any kind of which there are objects; name
// is what it is called by in errors. The object has its kind set, and metadata
// and spec only. An error is about the document, and names line and element
// where one is to blame.
func FromXML(name string, text []byte, opts FromOptions) (client.Object, error) {
	kind, err := rootKind(name, text)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "domain":
		return machineFromXML(name, text, opts)
	}
	return nil, fmt.Errorf("%s: <%s> is not a kind of libvirt document that is read", name, kind)
}

// ToXML writes the libvirt document of an object, with nothing in it that the
// object does not say. An error is about the object, with paths in it.
func ToXML(obj client.Object, opts ToOptions) ([]byte, error) {
	switch o := obj.(type) {
	case *v1alpha1.VirtualMachine:
		return machineToXML(o, opts)
	}
	return nil, fmt.Errorf("writing XML: objects of type %T are no libvirt documents", obj)
}
