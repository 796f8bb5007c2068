package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PoolType is libvirt's name for a kind of storage pool.
// +kubebuilder:validation:Enum=dir;fs;netfs;logical;iscsi;rbd;zfs
type PoolType string

const (
	// PoolDir is a folder of files.
	PoolDir PoolType = "dir"
	// PoolFS is a file system on a device of the host.
	PoolFS PoolType = "fs"
	// PoolNetFS is a file system of another machine: NFS, CIFS or GlusterFS.
	PoolNetFS PoolType = "netfs"
	// PoolLogical is an LVM volume group.
	PoolLogical PoolType = "logical"
	// PoolISCSI is an iSCSI target.
	PoolISCSI PoolType = "iscsi"
	// PoolRBD is a pool in Ceph.
	PoolRBD PoolType = "rbd"
	// PoolZFS is a ZFS pool or dataset.
	PoolZFS PoolType = "zfs"
)

// PoolHost is a machine that a pool's storage is on.
type PoolHost struct {
	// name is its host name or address.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// port it is reached at; that of the protocol by default.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
}

// PoolSource is where the storage of a pool comes from. Which fields it has
// depends on the type.
type PoolSource struct {
	// name is that of the volume group, the Ceph or ZFS pool.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Name string `json:"name,omitempty"`
	// hosts are the machines that serve it: the NFS server, Ceph's monitors, the
	// iSCSI portal.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Hosts []PoolHost `json:"hosts,omitempty"`
	// directory is what of a server is mounted.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Directory string `json:"directory,omitempty"`
	// devices are the host's devices that it is on, or the iSCSI target's name.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Devices []string `json:"devices,omitempty"`
	// format is that of the file system or of the volume group, as libvirt calls
	// it: nfs, ext4, lvm2.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Format string `json:"format,omitempty"`
}

// StoragePoolSpec is what the administrator says of a pool.
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="type must not change: make another pool"
// +kubebuilder:validation:XValidation:rule="!(self.type in ['dir', 'fs', 'netfs']) || has(self.targetPath)",message="targetPath must be given for type dir, fs and netfs: where the files are on the host"
// +kubebuilder:validation:XValidation:rule="!(self.type in ['netfs', 'iscsi', 'rbd']) || has(self.source) && has(self.source.hosts)",message="source.hosts must be given for type netfs, iscsi and rbd"
type StoragePoolSpec struct {
	// type is the kind of storage, by libvirt's name.
	Type PoolType `json:"type"`

	// uuid is the pool's UUID on its hosts. libvirt makes one for each by default.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:MaxLength=36
	// +optional
	UUID string `json:"uuid,omitempty"`

	// targetPath is where the volumes are on a host: a folder, or /dev/vg0.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	TargetPath string `json:"targetPath,omitempty"`

	// source is where the storage comes from.
	// +optional
	Source *PoolSource `json:"source,omitempty"`

	// shared says that a volume is the same one on every host. Default true for
	// netfs, iscsi and rbd, and false for all others; a dir may lie on a file
	// system that hosts share.
	// +optional
	Shared *bool `json:"shared,omitempty"`

	// nodeSelector limits the hosts that have the pool to Nodes with these
	// labels. Default: all hosts.
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// pool is libvirt's own pool for everything that the fields above do not say:
	// permissions, authentication, an initiator's name, ...
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Pool *runtime.RawExtension `json:"pool,omitempty"`
}

// PoolOnHost is a pool as one host has it.
type PoolOnHost struct {
	// nodeName is the host.
	NodeName string `json:"nodeName"`
	// state is libvirt's: inactive, building, running, degraded, inaccessible.
	// +optional
	State string `json:"state,omitempty"`
	// capacity, allocation and available are in bytes.
	// +optional
	Capacity int64 `json:"capacity,omitempty"`
	// +optional
	Allocation int64 `json:"allocation,omitempty"`
	// +optional
	Available int64 `json:"available,omitempty"`
	// message says what is wrong there.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// StoragePoolStatus is the pool as its hosts have it.
type StoragePoolStatus struct {
	// hosts are those that have the pool.
	// +listType=map
	// +listMapKey=nodeName
	// +optional
	Hosts []PoolOnHost `json:"hosts,omitempty"`
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// StoragePool is storage of hosts in which volumes are made. It is not acted
// upon yet: hosts have the pools that their administrators define.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=pool,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.targetPath`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type StoragePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec StoragePoolSpec `json:"spec"`
	// +optional
	Status StoragePoolStatus `json:"status,omitzero"`
}

// StoragePoolList is a list of StoragePools.
// +kubebuilder:object:root=true
type StoragePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StoragePool `json:"items"`
}
