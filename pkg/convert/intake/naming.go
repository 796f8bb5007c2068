package intake

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/objects"
)

// novaNames are the elements in which OpenStack keeps the name that the user
// gave: the domain itself is called instance-0000002a.
var novaNames = map[string]bool{
	"http://openstack.org/xmlns/libvirt/nova/1.0": true,
	"http://openstack.org/xmlns/libvirt/nova/1.1": true,
}

// naming names the VM as people know it, and takes off it the mark of another
// cluster's owner.
func (s *state) naming() *field.Error {
	path := field.NewPath("metadata", "annotations").Key(v1alpha1.MetadataAnnotation)
	text := s.vm.Annotations[v1alpha1.MetadataAnnotation]
	name, why := s.opts.Name, "it was asked for"
	if name == "" {
		display, err := displayName(text)
		if err != nil {
			return field.Invalid(path, field.OmitValueType{}, "cannot be read as XML: "+err.Error())
		}
		name, why = objects.Name(display), fmt.Sprintf("OpenStack's users know it as %q", display)
		// A broken mark says nothing of the name, and goes with the others.
		if mark, found, err := convert.ParseOwnership(text); err == nil && found {
			name, why = mark.Owner.Name, fmt.Sprintf("the domain was made for VirtualMachine %s/%s", mark.Owner.Namespace, mark.Owner.Name)
			if s.vm.Namespace == "" {
				s.vm.Namespace = mark.Owner.Namespace
			}
		}
	}
	if name != "" && name != s.vm.Name {
		s.changed(field.NewPath("metadata", "name"), fmt.Sprintf("%s became %s", s.vm.Name, name), why)
		if err := objects.Rename(s.vm, name); err != nil {
			return field.Invalid(convert.DomainPath, field.OmitValueType{}, err.Error())
		}
	}
	rest, marked, err := withoutElements(text, convert.OwnershipNamespace)
	if err != nil {
		return field.Invalid(path, field.OmitValueType{}, "cannot be read as XML: "+err.Error())
	}
	if marked {
		s.changed(path, "removed the mark of the domain's owner", "it is of another life of the VM, maybe in another cluster")
		s.vm.Annotations[v1alpha1.MetadataAnnotation] = rest
		if strings.TrimSpace(rest) == "" {
			delete(s.vm.Annotations, v1alpha1.MetadataAnnotation)
		}
	}
	return nil
}

// displayName is the name of an OpenStack instance, empty where the metadata
// are no OpenStack's.
func displayName(metadata string) (string, error) {
	d := xml.NewDecoder(strings.NewReader(metadata))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		start, ok := token.(xml.StartElement)
		if !ok || !novaNames[start.Name.Space] || start.Name.Local != "name" {
			continue
		}
		var name string
		if err := d.DecodeElement(&name, &start); err != nil {
			return "", err
		}
		return strings.TrimSpace(name), nil
	}
}

// withoutElements takes the outer elements of a namespace out of XML, and says
// whether there was any.
func withoutElements(inside, namespace string) (string, bool, error) {
	d := xml.NewDecoder(strings.NewReader(inside))
	var out strings.Builder
	from, found := int64(0), false
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			out.WriteString(inside[from:])
			return out.String(), found, nil
		}
		if err != nil {
			return "", false, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if err := d.Skip(); err != nil {
			return "", false, err
		}
		if start.Name.Space == namespace {
			out.WriteString(inside[from:before])
			from, found = d.InputOffset(), true
		}
	}
}
