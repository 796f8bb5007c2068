package xmldoc

import (
	"fmt"
	"strings"
)

// Kind is a kind of libvirt document, by the name of its root element.
type Kind string

// The kinds of documents that can be read.
const (
	KindDomain   Kind = "domain"
	KindNetwork  Kind = "network"
	KindSnapshot Kind = "domainsnapshot"
	KindVolume   Kind = "volume"
	KindPool     Kind = "pool"
)

// Kinds are all kinds, in the order in which they are named to people.
var Kinds = []Kind{KindDomain, KindNetwork, KindSnapshot, KindVolume, KindPool}

// elsewhere says what to do about roots that libvirt has, and that are not read.
var elsewhere = map[string]string{
	"domstatus":          "this is libvirt's own state file: give what virsh dumpxml NAME prints",
	"networkstatus":      "this is libvirt's own state file: give what virsh net-dumpxml NAME prints",
	"poolstate":          "this is libvirt's own state file: give what virsh pool-dumpxml NAME prints",
	"domainbackup":       "",
	"domaincheckpoint":   "",
	"domainCapabilities": "",
	"capabilities":       "",
	"networkport":        "",
	"interface":          "",
	"nwfilter":           "",
	"filter":             "",
	"filterbinding":      "",
	"secret":             "",
	"device":             "",
	"cpu":                "",
	"disk":               "",
}

// Kind is the kind of the document by its root, or an error of type Errors.
func (d *Document) Kind() (Kind, error) {
	for _, k := range Kinds {
		if d.Root.Name == string(k) && d.Root.Space == "" {
			return k, nil
		}
	}
	err := &Error{File: d.File, Line: d.Root.Line, Column: d.Root.Column}
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = "<" + string(k) + ">"
	}
	can := "the root element must be " + strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
	remedy, libvirts := elsewhere[d.Root.Name]
	switch {
	case d.Root.Space != "" && Kind(d.Root.Local) == kindOf(d.Root.Local):
		err.Problem = fmt.Sprintf("is not libvirt: the root element <%s> is in the namespace %q", clip(d.Root.Name), clip(d.Root.Space))
		err.Remedy = "libvirt's own elements are in none: remove the namespace"
	case libvirts:
		err.Problem = fmt.Sprintf("is a kind of libvirt document that is not read: root element <%s>", d.Root.Name)
		err.Remedy = remedy
		if remedy == "" {
			err.Remedy = can
		}
	default:
		err.Problem = fmt.Sprintf("is not libvirt: root element <%s>", clip(d.Root.Name))
		err.Remedy = can
	}
	return "", Errors{err}
}

// kindOf is the kind with a name, empty when there is none.
func kindOf(name string) Kind {
	for _, k := range Kinds {
		if string(k) == name {
			return k
		}
	}
	return ""
}
