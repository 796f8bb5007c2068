package v1alpha1

// DiskTarget is where a disk is being moved to. It is there from when the space
// has been promised until the disk is at home there, or the move is given up.
type DiskTarget struct {
	// id tells this move from all others of the disk.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// nodeName is the host, poolName its pool, and store what that is in when other
	// hosts may have it too.
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName"`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Store string `json:"store,omitempty"`
}

// DiskMoveState says how far a move has come.
// +kubebuilder:validation:Enum=Copying;Copied;Left
type DiskMoveState string

const (
	// MoveCopying means that the volume lies where it was; what there is at the
	// target is not whole.
	MoveCopying DiskMoveState = "Copying"
	// MoveCopied means that the target has all of it, verified; from here on the
	// move only goes forward.
	MoveCopied DiskMoveState = "Copied"
	// MoveLeft means that the volume is gone from where it was.
	MoveLeft DiskMoveState = "Left"
)

// DiskMoveProgress is how a move goes, as the host says that the disk leaves.
type DiskMoveProgress struct {
	// id is that of the move.
	// +kubebuilder:validation:MaxLength=64
	ID    string        `json:"id"`
	State DiskMoveState `json:"state"`
	// copied of total bytes are at the target. It is said now and then.
	// +optional
	Copied int64 `json:"copied,omitempty"`
	// +optional
	Total int64 `json:"total,omitempty"`
	// format is the volume's at the target, once that has all of it.
	// +optional
	Format DiskFormat `json:"format,omitempty"`
	// message says what holds it up, if anything does.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// Condition and reasons of a VirtualDisk that is moved.
const (
	// ConditionDiskInPlace is False while spec.nodeName or spec.poolName ask for
	// another place than the disk has. Written by vm-scheduler, and not before it
	// was asked for.
	ConditionDiskInPlace = "InPlace"

	// ReasonInPlace: it is where spec asks for.
	ReasonInPlace = "InPlace"
	// ReasonMoving: it is being moved; status.moveProgress says how far.
	ReasonMoving = "Moving"
	// ReasonHostMissing: there is no such host.
	ReasonHostMissing = "HostMissing"
	// ReasonNotReady: there is no volume yet that could be moved.
	ReasonNotReady = "NotReady"
)

// Wanted is the host and the pool that spec asks for, once the disk has a home.
// What spec leaves open stays: the host, and for the pool DefaultPoolName.
func (d *VirtualDisk) Wanted() (node, pool string) {
	node, pool = d.Spec.NodeName, d.Spec.PoolName
	if node == "" {
		node = d.Status.NodeName
	}
	if pool == "" {
		pool = DefaultPoolName
	}
	return node, pool
}

// Move is how the disk's present move goes; nil when none is under way. One that
// nothing was said of yet is at its beginning.
func (s *VirtualDiskStatus) Move() *DiskMoveProgress {
	switch {
	case s.MoveTo == nil:
		return nil
	case s.MoveProgress == nil || s.MoveProgress.ID != s.MoveTo.ID:
		return &DiskMoveProgress{ID: s.MoveTo.ID, State: MoveCopying}
	}
	return s.MoveProgress
}

// Leaving says that the disk's volume is whole at the target of its move: what is
// left where it was is not to be used any more.
func (s *VirtualDiskStatus) Leaving() bool {
	m := s.Move()
	return m != nil && m.State != MoveCopying
}
