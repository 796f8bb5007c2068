package objects

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
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
	switch doc.Kind {
	case xmldoc.KindDomain:
		if err := checkAmounts(doc); err != nil {
			return nil, err
		}
		return machines.read(doc, opts)
	case xmldoc.KindNetwork:
		return networks.read(doc, opts)
	case xmldoc.KindVolume:
		return disks.read(doc, opts)
	case xmldoc.KindPool:
		return pools.read(doc, opts)
	case xmldoc.KindSnapshot:
		return snapshots.read(doc, opts)
	}
	return nil, blame(doc, "", fmt.Errorf("<%s> is not a kind of document that there are objects of", doc.Kind))
}

// ToXML writes the libvirt document of an object, with nothing in it that the
// object does not say. An error is about the object, with paths in it.
func ToXML(obj client.Object, opts ToOptions) ([]byte, error) {
	switch o := obj.(type) {
	case *v1alpha1.VirtualMachine:
		return machines.write(o, opts)
	case *v1alpha1.VirtualNetwork:
		return networks.write(o, opts)
	case *v1alpha1.VirtualDisk:
		return disks.write(o, opts)
	case *v1alpha1.StoragePool:
		return pools.write(o, opts)
	case *v1alpha1.VirtualMachineSnapshot:
		return snapshots.write(o, opts)
	}
	return nil, fmt.Errorf("writing XML: objects of type %T are no libvirt documents", obj)
}

// Rename gives an object that was made of a document another name, and keeps
// that in the document for the way back.
func Rename(obj client.Object, name string) error {
	switch o := obj.(type) {
	case *v1alpha1.VirtualMachine:
		return machines.rename(o, name)
	case *v1alpha1.VirtualNetwork:
		return networks.rename(o, name)
	case *v1alpha1.VirtualDisk:
		return disks.rename(o, name)
	case *v1alpha1.StoragePool:
		return pools.rename(o, name)
	case *v1alpha1.VirtualMachineSnapshot:
		return snapshots.rename(o, name)
	}
	return fmt.Errorf("renaming: objects of type %T are no libvirt documents", obj)
}
