package document

import (
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/xmldoc"
)

// fill puts into a struct the XML that it holds as it stands, which a decoder
// of tokens does not: metadata and cookies. It is false where one is longer than
// most bytes.
func fill(value any, root *xmldoc.Element, most int) bool {
	content := func(to *string, e *xmldoc.Element) (ok bool) {
		if e == nil {
			return true
		}
		*to, ok = e.Content(most)
		return ok
	}
	domain := func(d *libvirtxml.Domain, e *xmldoc.Element) bool {
		return d.Metadata == nil || content(&d.Metadata.XML, e.Child("metadata"))
	}
	switch v := value.(type) {
	case *libvirtxml.Domain:
		return domain(v, root)
	case *libvirtxml.Network:
		return v.Metadata == nil || content(&v.Metadata.XML, root.Child("metadata"))
	case *libvirtxml.DomainSnapshot:
		ok := v.Cookie == nil || content(&v.Cookie.XML, root.Child("cookie"))
		if e := root.Child("domain"); ok && v.Domain != nil && e != nil {
			ok = domain(v.Domain, e)
		}
		if e := root.Child("inactiveDomain"); ok && v.InactiveDomain != nil && e != nil {
			ok = domain(&v.InactiveDomain.Domain, e)
		}
		return ok
	}
	return true
}
