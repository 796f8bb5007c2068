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
	// Operation is the UID of the VirtualMachineOperation that the domain was
	// defined for, if any: a guest that runs with it was started by that one.
	Operation types.UID
	// Granted, Cells and Devices are the placement's: accounting works from them
	// when the API server is away. Domains that were made before cells and
	// devices were placed have none.
	Granted v1alpha1.GrantedResources
	Cells   []v1alpha1.PlacedCell
	Devices []v1alpha1.PlacedDevice
	// Spec is what the spec said that the domain was made of; empty in domains
	// that were made before it was recorded.
	Spec SpecRecord
}

// Placement is the placement on the node that the domain was made for.
func (o Ownership) Placement(node string) v1alpha1.Placement {
	return v1alpha1.Placement{NodeName: node, Granted: o.Granted, Cells: o.Cells, Devices: o.Devices}
}

// ownerAttributes are the mark's attributes in XML. Numbers are text here so
// that an attribute that is missing is not taken for 0.
type ownerAttributes struct {
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
	MaxCPU     string `xml:"maxCPU,attr,omitempty"`
	MaxMemory  string `xml:"maxMemory,attr,omitempty"`
	Operation  string `xml:"operation,attr,omitempty"`
}

// writtenOwner is the mark as it is written. encoding/xml writes a prefix only
// as a part of the name, and reads names only by their namespace.
type writtenOwner struct {
	Prefix string `xml:"xmlns:domus,attr"`
	ownerAttributes
	Cells   []cellElement   `xml:"domus:cell"`
	Devices []deviceElement `xml:"domus:device"`
	Spec    string          `xml:"domus:spec,omitempty"`
}

// bareOwner is the mark as libvirt is to put it into its namespace.
type bareOwner struct {
	ownerAttributes
	Cells   []cellElement   `xml:"cell"`
	Devices []deviceElement `xml:"device"`
	Spec    string          `xml:"spec,omitempty"`
}

// readOwner is the mark as it is read.
type readOwner struct {
	ownerAttributes
	Cells   []cellElement   `xml:"https://domus.dev/v1alpha1 cell"`
	Devices []deviceElement `xml:"https://domus.dev/v1alpha1 device"`
	Spec    string          `xml:"https://domus.dev/v1alpha1 spec"`
}

// XML is the mark as an element to put into a domain's metadata. Memory and
// overhead are in bytes.
func (o Ownership) XML() string {
	return encode("domus:owner", writtenOwner{
		Prefix: OwnershipNamespace, ownerAttributes: o.attributes(),
		Cells: cellElements(o.Cells), Devices: deviceElements(o.Devices), Spec: string(o.Spec),
	})
}

// OwnershipPrefix is the prefix of the mark's names in a domain's XML.
const OwnershipPrefix = "domus"

// Element is the mark as virDomainSetMetadata takes it: without a namespace,
// which libvirt adds to it with OwnershipPrefix and OwnershipNamespace.
func (o Ownership) Element() string {
	return encode("owner", bareOwner{
		ownerAttributes: o.attributes(),
		Cells:           cellElements(o.Cells), Devices: deviceElements(o.Devices), Spec: string(o.Spec),
	})
}

func encode(name string, mark any) string {
	var out strings.Builder
	// A struct of strings written to memory cannot fail.
	_ = xml.NewEncoder(&out).EncodeElement(mark, xml.StartElement{Name: xml.Name{Local: name}})
	return out.String()
}

func (o Ownership) attributes() ownerAttributes {
	return ownerAttributes{
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
		MaxCPU:     unlessZero(int64(o.Granted.MaxCPU)),
		MaxMemory:  unlessZero(o.Granted.MaxMemory),
		Operation:  string(o.Operation),
	}
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
		var e readOwner
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

func (e readOwner) ownership() (Ownership, error) {
	var r attributeReader
	o := Ownership{
		ClusterID: r.text("cluster", e.Cluster),
		Owner: v1alpha1.Owner{
			Namespace: r.text("namespace", e.Namespace),
			Name:      r.text("name", e.Name),
			UID:       types.UID(r.text("uid", e.UID)),
			Epoch:     r.number("epoch", e.Epoch, 64),
		},
		Generation: r.number("generation", e.Generation, 64),
		Operation:  types.UID(e.Operation),
		Granted: v1alpha1.GrantedResources{
			CPU:      int32(r.number("cpu", e.CPU, 32)),
			Memory:   r.number("memory", e.Memory, 64),
			Overhead: r.number("overhead", e.Overhead, 64),
			PageSize: v1alpha1.PageSize(e.PageSize),

			MaxCPU:    int32(r.optional("maxCPU", e.MaxCPU, 32)),
			MaxMemory: r.optional("maxMemory", e.MaxMemory, 64),
		},
		Cells:   r.cells(e.Cells),
		Devices: r.devices(e.Devices),
		// One that cannot be read tells nothing of the spec, and takes nothing from
		// whose the domain is.
		Spec: SpecRecord(strings.TrimSpace(e.Spec)),
	}
	if _, known := pageKiB[o.Granted.PageSize]; e.PageSize != "" && !known {
		r.failed("attribute pageSize is %q, which is no page size", e.PageSize)
	}
	if err := errors.Join(r.errs...); err != nil {
		return Ownership{}, err
	}
	placement := o.Placement("")
	if _, errs := placedCells(&placement); len(errs) > 0 {
		return Ownership{}, errs.ToAggregate()
	}
	return o, nil
}

// attributeReader reads attributes and gathers what is wrong with them.
type attributeReader struct{ errs []error }

func (r *attributeReader) failed(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *attributeReader) text(name, value string) string {
	if value == "" {
		r.failed("attribute %s is missing", name)
	}
	return value
}

func (r *attributeReader) number(name, value string, bits int) int64 {
	n, err := strconv.ParseInt(r.text(name, value), 10, bits)
	if value != "" && (err != nil || n < 0) {
		r.failed("attribute %s is %q, not a number from 0 up", name, value)
	}
	return n
}

// optional is 0 where the attribute is missing.
func (r *attributeReader) optional(name, value string, bits int) int64 {
	if value == "" {
		return 0
	}
	return r.number(name, value, bits)
}

func unlessZero(n int64) string {
	if n == 0 {
		return ""
	}
	return number(n)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
