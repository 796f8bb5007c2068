package networks

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// Mark stands in a libvirt network's metadata and tells whose it is. A network
// without one, or of another cluster, is never touched.
type Mark struct {
	Cluster string
	Network types.NamespacedName
	UID     types.UID
	// Print tells one definition from another, but for DHCPHost.
	Print string
}

const markElement = "network"

type markXML struct {
	Prefix    string `xml:"xmlns:domus,attr"`
	Cluster   string `xml:"cluster,attr"`
	Namespace string `xml:"namespace,attr"`
	Name      string `xml:"name,attr"`
	UID       string `xml:"uid,attr"`
	Print     string `xml:"definition,attr"`
}

// XML is the mark as an element.
func (m Mark) XML() string {
	var out strings.Builder
	// A struct of strings written to memory cannot fail.
	_ = xml.NewEncoder(&out).EncodeElement(markXML{
		Prefix: convert.OwnershipNamespace, Cluster: m.Cluster,
		Namespace: m.Network.Namespace, Name: m.Network.Name, UID: string(m.UID), Print: m.Print,
	}, xml.StartElement{Name: xml.Name{Local: "domus:" + markElement}})
	return out.String()
}

// ParseMark finds the mark in the inside of a <metadata> element; false where there
// is none, or more than one, or nothing that can be read: such a network is not
// ours.
func ParseMark(metadata string) (out Mark, found bool) {
	d := xml.NewDecoder(strings.NewReader(metadata))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out, found
		}
		if err != nil {
			return Mark{}, false
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name != (xml.Name{Space: convert.OwnershipNamespace, Local: markElement}) {
			continue
		}
		if found {
			return Mark{}, false
		}
		found = true
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "cluster":
				out.Cluster = a.Value
			case "namespace":
				out.Network.Namespace = a.Value
			case "name":
				out.Network.Name = a.Value
			case "uid":
				out.UID = types.UID(a.Value)
			case "definition":
				out.Print = a.Value
			}
		}
		if out.UID == "" || out.Network.Name == "" || out.Network.Namespace == "" {
			return Mark{}, false
		}
	}
}

// libvirtName is the name of the network that the mark belongs to.
func (m Mark) libvirtName() string {
	n := v1alpha1.VirtualNetwork{}
	n.Namespace, n.Name, n.UID = m.Network.Namespace, m.Network.Name, m.UID
	return n.LibvirtName()
}
