package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// VirtualMachineClassSpec is what VMs of a class have unless they say otherwise.
type VirtualMachineClassSpec struct {
	// resources is the size of the VMs and how they lie on their hosts. A VM of
	// the class gives none of its own but overhead and devices.
	Resources VirtualMachineResources `json:"resources"`

	// domain is what the VMs' spec.domain holds beside their own: elements of the
	// VM stand before those of the class, and a list of the VM's replaces the
	// class' list. It is held against the policy level of each VM's namespace.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Domain *runtime.RawExtension `json:"domain,omitempty"`
}

// VirtualMachineClass is a flavour: a size, a CPU and NUMA policy, and defaults
// of the domain, under a name. A VM takes them over when it is created or when
// its spec.class changes, and keeps them whatever becomes of the class.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=vmclass,categories=all
// +kubebuilder:printcolumn:name="CPU",type=integer,JSONPath=`.spec.resources.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.resources.memory`
// +kubebuilder:printcolumn:name="Hugepages",type=string,JSONPath=`.spec.resources.hugepages.pageSize`
// +kubebuilder:printcolumn:name="NUMA",type=string,JSONPath=`.spec.resources.numa`
// +kubebuilder:printcolumn:name="CPU-Policy",type=string,JSONPath=`.spec.resources.cpuPolicy`
// +kubebuilder:printcolumn:name="Max-CPU",type=integer,JSONPath=`.spec.resources.maxCPU`,priority=1
// +kubebuilder:printcolumn:name="Max-Memory",type=string,JSONPath=`.spec.resources.maxMemory`,priority=1
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachineClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineClassSpec `json:"spec"`
}

// VirtualMachineClassList is a list of VirtualMachineClasses.
// +kubebuilder:object:root=true
type VirtualMachineClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachineClass `json:"items"`
}

// ClassReference names the class that a VM has taken its size from.
type ClassReference struct {
	// name is a VirtualMachineClass.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// revision is the metadata.generation of the class that was taken over. It is
	// filled in when it is empty; clear it to take over the class as it is now.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Revision int64 `json:"revision,omitempty"`
}
