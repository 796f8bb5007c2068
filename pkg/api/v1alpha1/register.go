package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every Domus kind.
const GroupName = "domus.dev"

var (
	// GroupVersion is the group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

// Resource names the resource plural in this group, for errors and RBAC.
func Resource(plural string) schema.GroupResource {
	return GroupVersion.WithResource(plural).GroupResource()
}

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&VirtualMachine{}, &VirtualMachineList{},
		&Hypervisor{}, &HypervisorList{},
		&PlacementReview{}, &PlacementReviewList{},
		&VirtualMachineOperation{}, &VirtualMachineOperationList{},
		&VirtualMachineClass{}, &VirtualMachineClassList{},
		&VirtualDisk{}, &VirtualDiskList{},
		&VirtualDiskImage{}, &VirtualDiskImageList{},
		&TransferTicket{}, &TransferTicketList{},
		&VirtualNetwork{}, &VirtualNetworkList{},
		&VirtualMachineSnapshot{}, &VirtualMachineSnapshotList{},
		&VirtualMachineSnapshotSchedule{}, &VirtualMachineSnapshotScheduleList{},
		&StoragePool{}, &StoragePoolList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
