package libvirt

import (
	"context"
	"errors"
	"time"
)

// ErrNoMemory says that there is no saved memory at that place, or it is not whole.
var ErrNoMemory = errors.New("there is no whole image of a guest's memory")

// Snapshots are snapshots inside qcow2 volumes, and the memory of guests beside
// them. libvirt's own notes of snapshots are not used: nothing of these is lost, or
// stands in the way, when a domain is undefined.
//
// Errors of all of them: ErrNoPool, ErrNoVolume, ErrNotFound for the domain,
// ErrWrongState, ErrUnsupported, ErrTimeout, ErrUnavailable, and libvirt's own.
type Snapshots interface {
	// VolumeSnapshots lists the snapshots inside a volume, in their order. It is
	// none for a volume that is not qcow2.
	VolumeSnapshots(ctx context.Context, pool, volume string) ([]string, error)
	// SnapshotGuest takes a snapshot of disks of a guest that runs or is paused, all
	// at the same time or none. The guest is not halted for it.
	SnapshotGuest(ctx context.Context, uuid, name string, volumes []VolumeRef) error
	// DeleteGuestSnapshot deletes a snapshot of a disk under the guest that has it.
	// One that is not there is success.
	DeleteGuestSnapshot(ctx context.Context, uuid, name string, volume VolumeRef) error
	// SnapshotVolumes takes a snapshot of volumes that no guest has, one after the
	// other, RevertVolumes brings them back to one, and DeleteVolumeSnapshots deletes
	// it of them. Volumes that are open, under a guest for one, are refused.
	SnapshotVolumes(ctx context.Context, name string, volumes []VolumeRef) error
	RevertVolumes(ctx context.Context, name string, volumes []VolumeRef) error
	DeleteVolumeSnapshots(ctx context.Context, name string, volumes []VolumeRef) error
	// Freeze has the guest's agent bring its file systems to rest. Thaw has them go
	// on; where they do already it is success. Errors: ErrAgentUnavailable,
	// ErrAgentUnanswered.
	Freeze(ctx context.Context, uuid string) error
	Thaw(ctx context.Context, uuid string) error
	// WriteMemory writes the memory of a paused guest, which stays paused, to a new
	// file of a pool. It lasts as long as it takes; one that is given up on with ctx
	// goes on in libvirt until AbortJob.
	WriteMemory(ctx context.Context, uuid, pool, file string) error
	// MemoryWritten is how much of that has been done, in bytes; 0 while no memory is
	// being written.
	MemoryWritten(ctx context.Context, uuid string) (int64, error)
	// Memory reads the domain that the memory in a file of a pool is of, as XML.
	// Errors: ErrNoMemory.
	Memory(ctx context.Context, pool, file string) (string, error)
	// StartFromMemory has the guest go on from the memory in the file, as the domain
	// of xml, which may differ from that of Memory in what the guest does not see. A
	// domain that runs is left as it is. The file is left.
	StartFromMemory(ctx context.Context, uuid, pool, file, xml string) error
}

const (
	// monitorAnswer bounds what QEMU is told over its monitor, which stands still
	// meanwhile.
	monitorAnswer = 2 * time.Minute
	// agentRest is how long an agent has to bring file systems to rest.
	agentRest = 30 * time.Second
)
