package convert

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// OwnershipNamespace is the XML namespace of the mark in a domain's metadata by
// which Domus knows its own domains. It is also the URI by which
// virDomainGetMetadata finds the element.
const OwnershipNamespace = "https://domus.dev/v1alpha1"

// Ownership is that mark: whose a domain is, and what it was made for.
type Ownership struct {
	// ClusterID tells apart clusters that share hosts.
	ClusterID string
	// Owner is the VirtualMachine and the epoch of the binding.
	Owner v1alpha1.Owner
	// Generation is the VirtualMachine's metadata.generation that the domain
	// was made of.
	Generation int64
	// Granted is what the placement granted: accounting works from it when the
	// API server is away.
	Granted v1alpha1.GrantedResources
}

// ownerElement is the mark in XML. Numbers are text here so that an attribute
// that is missing is not taken for 0.
type ownerElement struct {
	Prefix     string `xml:"xmlns:domus,attr"`
	Cluster    string `xml:"cluster,attr"`
	Namespace  string `xml:"namespace,attr"`
	Name       string `xml:"name,attr"`
	UID        string `xml:"uid,attr"`
	Epoch      string `xml:"epoch,attr"`
	Generation string `xml:"generation,attr"`
	CPU        string `xml:"cpu,attr"`
	Memory     string `xml:"memory,attr"`
	Overhead   string `xml:"overhead,attr"`
	PageSize   string `xml:"pageSize,attr,omitempty"`
}

// XML is the mark as an element to put into a domain's metadata. Memory and
// overhead are in bytes.
func (o Ownership) XML() string {
	var out strings.Builder
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	// A struct of strings written to memory cannot fail.
	_ = xml.NewEncoder(&out).EncodeElement(ownerElement{
		Prefix:     OwnershipNamespace,
		Cluster:    o.ClusterID,
		Namespace:  o.Owner.Namespace,
		Name:       o.Owner.Name,
		UID:        string(o.Owner.UID),
		Epoch:      number(o.Owner.Epoch),
		Generation: number(o.Generation),
		CPU:        number(int64(o.Granted.CPU)),
		Memory:     number(o.Granted.Memory),
		Overhead:   number(o.Granted.Overhead),
		PageSize:   string(o.Granted.PageSize),
	}, xml.StartElement{Name: xml.Name{Local: "domus:owner"}})
	return out.String()
}

// ParseOwnership finds the mark in the inside of a <metadata> element, by its
// namespace and whatever its prefix. It returns false where there is none, and
// an error where the mark is broken or doubled or the XML cannot be read: such
// a domain is to be left alone.
func ParseOwnership(metadataXML string) (Ownership, bool, error) {
	var found []Ownership
	d := xml.NewDecoder(strings.NewReader(metadataXML))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Ownership{}, false, fmt.Errorf("reading the domain's metadata: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name != (xml.Name{Space: OwnershipNamespace, Local: "owner"}) {
			if err := d.Skip(); err != nil {
				return Ownership{}, false, fmt.Errorf("reading the domain's metadata: %w", err)
			}
			continue
		}
		var e ownerElement
		if err := d.DecodeElement(&e, &start); err != nil {
			return Ownership{}, false, fmt.Errorf("reading the domain's owner: %w", err)
		}
		o, err := e.ownership()
		if err != nil {
			return Ownership{}, false, fmt.Errorf("reading the domain's owner: %w", err)
		}
		found = append(found, o)
	}
	switch len(found) {
	case 0:
		return Ownership{}, false, nil
	case 1:
		return found[0], true, nil
	}
	return Ownership{}, false, fmt.Errorf("the domain's metadata names %d owners", len(found))
}

func (e ownerElement) ownership() (Ownership, error) {
	var errs []error
	text := func(name, value string) string {
		if value == "" {
			errs = append(errs, fmt.Errorf("attribute %s is missing", name))
		}
		return value
	}
	number := func(name, value string, bits int) int64 {
		n, err := strconv.ParseInt(text(name, value), 10, bits)
		if value != "" && (err != nil || n < 0) {
			errs = append(errs, fmt.Errorf("attribute %s is %q, not a number from 0 up", name, value))
		}
		return n
	}
	o := Ownership{
		ClusterID: text("cluster", e.Cluster),
		Owner: v1alpha1.Owner{
			Namespace: text("namespace", e.Namespace),
			Name:      text("name", e.Name),
			UID:       types.UID(text("uid", e.UID)),
			Epoch:     number("epoch", e.Epoch, 64),
		},
		Generation: number("generation", e.Generation, 64),
		Granted: v1alpha1.GrantedResources{
			CPU:      int32(number("cpu", e.CPU, 32)),
			Memory:   number("memory", e.Memory, 64),
			Overhead: number("overhead", e.Overhead, 64),
			PageSize: v1alpha1.PageSize(e.PageSize),
		},
	}
	if _, known := pageKiB[o.Granted.PageSize]; e.PageSize != "" && !known {
		errs = append(errs, fmt.Errorf("attribute pageSize is %q, which is no page size", e.PageSize))
	}
	if err := errors.Join(errs...); err != nil {
		return Ownership{}, err
	}
	return o, nil
}
