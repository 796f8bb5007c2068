package v1alpha1

// Restore says what a VM is brought back to.
type Restore struct {
	// snapshotName is a VirtualMachineSnapshot of the VM.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SnapshotName string `json:"snapshotName"`
	// discardRunning allows the loss of a guest that runs, or whose memory is saved:
	// it is switched off. Without it the restore of such a VM is refused. What is on
	// the disks now, and in no snapshot, is lost in any case.
	// +optional
	DiscardRunning bool `json:"discardRunning,omitempty"`
	// withoutMemory leaves the snapshot's memory alone: the guest boots from the
	// disks.
	// +optional
	WithoutMemory bool `json:"withoutMemory,omitempty"`
}

// ReasonSnapshotUnusable says that the VM cannot be restored to the snapshot, as it is or as
// the VM is; the message says why and what to do.
const ReasonSnapshotUnusable = "SnapshotUnusable"
