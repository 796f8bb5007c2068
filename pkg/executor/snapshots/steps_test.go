package snapshots

import (
	"fmt"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// A full pool is named, and not tried again and again, with the guest standing still.
func TestAFullPoolIsNamed(t *testing.T) {
	w := newWorld(t, t.TempDir())
	in, m := usual(memory), &Memory{}
	in.Snapshot.Status.Disks = []v1alpha1.SnapshotDisk{{PoolName: "small"}, {PoolName: "default"}, {PoolName: "small"}}
	err := fmt.Errorf("%w: %w", libvirt.ErrNoSpace, &libvirt.Error{Doing: "writing", Message: "No space left on device"})
	if !w.keeper.failed(t.Context(), StepMake, in, m, err) {
		t.Fatal("it is no failure of the snapshot")
	}
	const want = "storage pool small or default of host " + node + " became full: free some there, delete the snapshot and create it anew"
	if m.Refused != v1alpha1.ReasonSnapshotFailed || m.Why != want {
		t.Errorf("%s: %s, want %s", m.Refused, m.Why, want)
	}
}
