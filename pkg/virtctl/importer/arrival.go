package importer

import (
	"encoding/json"
	"encoding/xml"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
)

// arrival is a domain that is brought in.
type arrival struct {
	libvirtdoc.ReadFound
	// vm is what it becomes.
	vm *v1alpha1.VirtualMachine
	// changes are told, and refusals keep it out.
	changes  []intake.Change
	refusals field.ErrorList
	// there is the VM that it is already, if it is.
	there *v1alpha1.VirtualMachine
	// managed is the VM of some cluster whose domain it is; empty for none.
	managed string
	// snapshots counts those that the old host knows.
	snapshots int
}

// elsewhere says whether it is a domain of some libvirt, and so may run there: it
// is of one, or was written by one. An object is where it still has a domain's id.
func (a *arrival) elsewhere() bool { return a.Live() || a.Foreign || a.runs() }

// runs says whether its guest runs on its old host, or did when its document was
// written: libvirt gives an id to domains that run.
func (a *arrival) runs() bool {
	if a.Live() {
		return a.Found.Active
	}
	given, ok := a.Object.(*v1alpha1.VirtualMachine)
	if !ok || given.Spec.Domain == nil {
		return false
	}
	var domain struct {
		ID *int64 `json:"id"`
	}
	// What cannot be read is refused elsewhere.
	_ = json.Unmarshal(given.Spec.Domain.Raw, &domain)
	return domain.ID != nil && *domain.ID >= 0
}

// name is what its old host calls it.
func (a *arrival) name() string {
	if a.Found.Name != "" {
		return a.Found.Name
	}
	if name := nameIn(a.Document); name != "" {
		return name
	}
	if text, err := objects.ToXML(a.Object, objects.ToOptions{Bare: true}); err == nil {
		if name := nameIn(documents.Document{Format: documents.XML, Text: text}); name != "" {
			return name
		}
	}
	return a.Object.GetName()
}

// nameIn is the name that a domain has in its XML; empty where it is of an object.
func nameIn(d documents.Document) string {
	if d.Format != documents.XML {
		return ""
	}
	var domain struct {
		Name string `xml:"name"`
	}
	if err := xml.Unmarshal(d.Text, &domain); err != nil {
		return ""
	}
	return domain.Name
}
