package document

import (
	"encoding/xml"
	"reflect"
	"strings"
	"sync"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/xmldoc"
)

// numbers are the places where libvirt's documents hold numbers, as libvirtxml
// has them: the names of an element and its parent, and /@ and the name of an
// attribute. Where one of its types has a number and another text, in elements
// of the same two names, it is text: 000123 is not 123.
var numbers = sync.OnceValue(func() map[string]bool {
	c := placeCollector{numbers: map[string]bool{}, texts: map[string]bool{}, seen: map[placed]bool{}}
	for name, t := range roots {
		c.element(t, "", name)
	}
	for place := range c.texts {
		delete(c.numbers, place)
	}
	for _, place := range untagged {
		c.numbers[place] = true
	}
	return c.numbers
})

// untagged are numbers of a struct that has no tags, since it writes and reads
// itself: libvirtxml's DomainControllerPCITarget.
var untagged = []string{
	"controller/target/@chassisNr", "controller/target/@chassis", "controller/target/@port",
	"controller/target/@busNr", "controller/target/@index", "controller/target/@memReserve", "target/node",
}

var roots = map[string]reflect.Type{
	"domain":         reflect.TypeFor[libvirtxml.Domain](),
	"inactiveDomain": reflect.TypeFor[libvirtxml.Domain](),
	"network":        reflect.TypeFor[libvirtxml.Network](),
	"domainsnapshot": reflect.TypeFor[libvirtxml.DomainSnapshot](),
	"volume":         reflect.TypeFor[libvirtxml.StorageVolume](),
	"pool":           reflect.TypeFor[libvirtxml.StoragePool](),
}

type placed struct {
	t            reflect.Type
	parent, name string
}

type placeCollector struct {
	numbers, texts map[string]bool
	seen           map[placed]bool
}

// element collects what an element of a struct type holds.
func (c *placeCollector) element(t reflect.Type, parent, name string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		c.place(t, parent+"/"+name)
		return
	}
	if c.seen[placed{t, parent, name}] {
		return
	}
	c.seen[placed{t, parent, name}] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[xml.Name]() {
			continue
		}
		tag, options, _ := strings.Cut(f.Tag.Get("xml"), ",")
		tag = tag[strings.LastIndex(tag, " ")+1:]
		switch {
		case strings.Contains(options, "attr"):
			c.place(f.Type, parent+"/"+name+"/@"+tag)
		case strings.Contains(options, "chardata"):
			c.place(f.Type, parent+"/"+name)
		case tag == "-" || tag == "":
			// A variant of a choice, or a struct written in line: it is the
			// same element. Namespaced commands hold text only.
			if structOf(f.Type) != nil {
				c.element(f.Type, parent, name)
			}
		default:
			below := parent + "/" + name
			steps := strings.Split(tag, ">")
			above := below[strings.LastIndex(below, "/")+1:]
			if len(steps) > 1 {
				above = steps[len(steps)-2]
			}
			c.element(f.Type, above, steps[len(steps)-1])
		}
	}
}

func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func (c *placeCollector) place(t reflect.Type, place string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		c.texts[place] = true
	case reflect.Struct:
	default:
		c.numbers[place] = true
	}
}

// isNumber is a rule of xmldoc.
func isNumber(e *xmldoc.Element, attribute string) bool {
	place := "/" + e.Local
	if e.Parent != nil {
		place = e.Parent.Local + place
	}
	if attribute != "" {
		place += "/@" + attribute
	}
	if e.Local == "address" && attribute == "port" {
		// 1.2 for a USB device, a number for all others.
		kind, _ := e.Attribute("type")
		return kind != "usb"
	}
	return numbers()[place]
}
