// Package document turns libvirt's XML into documents in Domus's style (see
// package tree) and back, and loses nothing on the way.
//
// libvirtxml drops without a word what it does not know, and adds or changes
// some of what it does. So each document is written back and compared with what
// was read (see package xmldoc); what differs is kept in the document under the
// key other of the object in question, and where that does not do, it is an
// error that names the element and its line. It is pure.
package document

import (
	"bytes"
	"encoding/xml"
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// Document is a libvirt document in Domus's style.
type Document struct {
	Kind xmldoc.Kind
	// Value is a JSON object with the keys of package tree, in the order of
	// libvirt's XML, and with tree.OtherKey where libvirtxml falls short.
	Value []byte
	// XML is what was read.
	XML *xmldoc.Document
}

// Read reads a libvirt document. file is what it is called by in errors, which
// are of type xmldoc.Errors and say where, what is wrong, and what to do. What
// Read returns without one is written by Write as the same document, by
// xmldoc.Same with Rules.
func Read(file string, text []byte, limits xmldoc.Limits) (*Document, error) {
	doc, err := xmldoc.Parse(file, text, limits)
	if err != nil {
		return nil, err
	}
	return FromXML(doc, limits)
}

// FromXML is Read for a document that is parsed already.
func FromXML(doc *xmldoc.Document, limits xmldoc.Limits) (*Document, error) {
	kind, err := doc.Kind()
	if err != nil {
		return nil, err
	}
	value, corrected, err := formats[kind].read(doc, limits)
	if err != nil {
		return nil, err
	}
	if corrected {
		// What libvirtxml drops may stand beside what it takes: whether both can be
		// written is seen by writing them.
		if _, errs := formats[kind].write(value, nil); len(errs) > 0 {
			return nil, whole(doc, "says what libvirtxml does not take, in a way that cannot be written again: "+errs[0].Error())
		}
	}
	return &Document{Kind: kind, Value: value, XML: doc}, nil
}

// format is how documents of a kind are read and written.
type format struct {
	// read says too whether there are corrections in what it returns.
	read  func(*xmldoc.Document, xmldoc.Limits) (value []byte, corrected bool, err error)
	write func(value []byte, at at) ([]byte, fieldErrors)
}

var formats = map[xmldoc.Kind]format{
	xmldoc.KindDomain:   {read[libvirtxml.Domain], write[libvirtxml.Domain]},
	xmldoc.KindNetwork:  {read[libvirtxml.Network], write[libvirtxml.Network]},
	xmldoc.KindSnapshot: {read[libvirtxml.DomainSnapshot], write[libvirtxml.DomainSnapshot]},
	xmldoc.KindVolume:   {read[libvirtxml.StorageVolume], write[libvirtxml.StorageVolume]},
	xmldoc.KindPool:     {read[libvirtxml.StoragePool], write[libvirtxml.StoragePool]},
}

func read[T any](doc *xmldoc.Document, limits xmldoc.Limits) ([]byte, bool, error) {
	value, err := decodeXML[T](doc, limits)
	if err != nil {
		return nil, false, err
	}
	plain, err := tree.Encode(value)
	if err != nil {
		return nil, false, whole(doc, "cannot be written in YAML: "+err.Error())
	}
	// From here on it is the document as it will be read from YAML, so that
	// what is lost on that way is found too.
	value, errs := tree.Decode[T](plain, nil)
	if len(errs) > 0 {
		return nil, false, whole(doc, "cannot be read back from YAML: "+errs.ToAggregate().Error())
	}
	back, err := encodeXML(value)
	if err != nil {
		return nil, false, whole(doc, "cannot be written as libvirt XML again: "+err.Error())
	}
	differences := xmldoc.Compare(doc, back, Rules())
	if len(differences) == 0 {
		return plain, false, nil
	}
	others, err := corrections(value, back, differences)
	if err != nil {
		return nil, false, differ(doc, differences)
	}
	if err := correct(value, back, others); err != nil {
		return nil, false, differ(doc, differences)
	}
	if left := xmldoc.Compare(doc, back, Rules()); len(left) > 0 {
		return nil, false, differ(doc, left)
	}
	out, err := tree.EncodeAll(value, others)
	if err != nil {
		return nil, false, differ(doc, differences)
	}
	return out, true, nil
}

// decodeXML reads a document into its struct; errors have the element and line.
func decodeXML[T any](doc *xmldoc.Document, limits xmldoc.Limits) (*T, error) {
	out := new(T)
	if err := xml.NewTokenDecoder(doc.Tokens(Rules())).Decode(out); err != nil {
		// Where it stopped is told by the place in the text.
		decoder := xml.NewDecoder(bytes.NewReader(doc.Source))
		_ = decoder.Decode(new(T))
		return nil, unreadable(doc, int(decoder.InputOffset()), err)
	}
	if !fill(out, doc.Root, 2*max(limits.Bytes, xmldoc.DefaultBytes)) {
		return nil, whole(doc, "has metadata that is too large when each element in it declares its own namespaces")
	}
	return out, nil
}

// encodeXML writes a struct as XML that can be compared and corrected.
func encodeXML(value any) (*xmldoc.Document, error) {
	text, err := xml.Marshal(value)
	if err != nil {
		return nil, err
	}
	// It is our own text, as long as it has to be.
	return xmldoc.ParseOwn(text, xmldoc.Limits{Bytes: len(text) + 1, Depth: ownDepth})
}

// ownDepth is more than the deepest document that is read: libvirtxml writes
// elements that were not there.
const ownDepth = 2 * xmldoc.DefaultDepth

// whole blames the document as a whole.
func whole(doc *xmldoc.Document, problem string) error {
	return xmldoc.Errors{{File: doc.File, Line: doc.Root.Line, Column: doc.Root.Column, Element: doc.Root.Path(), Problem: problem}}
}

// differ says what of a document cannot be kept.
func differ(doc *xmldoc.Document, differences []xmldoc.Difference) error {
	var errs xmldoc.Errors
	for _, d := range differences {
		if len(errs) == mostDifferences {
			break
		}
		path, problem, _ := strings.Cut(d.String(), ": ")
		errs = append(errs, &xmldoc.Error{File: doc.File, Line: d.Line, Column: d.Column, Element: path,
			Problem: "cannot be kept: " + problem, Remedy: "remove it, or say it in another way"})
	}
	return errs
}

const mostDifferences = 20
