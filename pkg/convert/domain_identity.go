package convert

import "libvirt.org/go/libvirtxml"

// setIdentity says which VirtualMachine the domain is, in which epoch. The
// user's own title, description, genid and hwuuid stay.
func setIdentity(domain *libvirtxml.Domain, in Input) {
	domain.ID = nil
	domain.Name = in.VM.DomainName()
	domain.UUID = in.VM.DomainUUID()
	placement := in.VM.Status.Placement
	domain.Metadata = &libvirtxml.DomainMetadata{XML: Ownership{
		ClusterID:  in.ClusterID,
		Owner:      in.VM.Owner(),
		Generation: in.VM.Generation,
		Operation:  in.Operation,
		Granted:    placement.Granted,
		Cells:      placement.Cells,
		Devices:    placement.Devices,
		Spec:       RecordSpec(&in.VM.Spec),
	}.XML()}
}
