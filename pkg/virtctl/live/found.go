package live

import "domus.dev/domus/pkg/virtctl/documents"

// Kind is a kind of libvirt document, by the name of its root element.
type Kind string

// The kinds.
const (
	Domain   Kind = "domain"
	Network  Kind = "network"
	Pool     Kind = "pool"
	Volume   Kind = "volume"
	Snapshot Kind = "domainsnapshot"
)

// Kinds are all of them.
var Kinds = []Kind{Domain, Network, Pool, Volume, Snapshot}

// Found is what a libvirt has defined.
type Found struct {
	documents.Document
	Kind Kind
	// Name and UUID are libvirt's; Parent is the name of a volume's pool and of a
	// snapshot's domain.
	Name, UUID, Parent string
	// Active says that it runs now, Saved that the memory of its guest is saved on
	// the host, and Transient that it is gone once it ends.
	Active, Saved, Transient bool
}
