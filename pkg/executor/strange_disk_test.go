package executor

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/executor/volumes"
)

// A guest does not go on from its memory with a disk that is not its VM's now, nor
// with one that is not as it was.
func TestMemoryCountsOnItsDisks(t *testing.T) {
	volume := func(name string) string { return "ns." + name + v1alpha1.VolumeMark + "0123456789ab" }
	in := &plan.Situation{Restore: &snapshots.Restoration{Snapshot: &v1alpha1.VirtualMachineSnapshot{}}}
	in.Restore.Snapshot.Name = "s"
	in.Restore.Snapshot.Status.Disks = []v1alpha1.SnapshotDisk{{Name: "data", PoolName: "default", VolumeName: volume("data")}}
	in.Disks = volumes.Gate{Volumes: map[string]convert.Volume{
		"data": {Pool: "default", Name: volume("data")}, "medium": {Pool: "default", Name: volume("medium"), ReadOnly: true},
		"again": {Pool: "default", Name: volume("again")},
	}}
	disk := func(volume, more string) string {
		return "<disk type='volume' " + more + "<source pool='default' volume='" + volume + "'/></disk>"
	}
	const writes, reads, cdrom = "device='disk'>", "device='disk'><readonly/>", "device='cdrom'><readonly/>"
	for name, test := range map[string]struct{ disk, want string }{
		"the snapshot's alone":            {"", ""},
		"a medium that it has":            {disk(volume("medium"), cdrom), ""},
		"a medium that was taken away":    {disk(volume("gone"), cdrom), "whose VirtualDisk it cannot have now: name it in spec.disks again"},
		"what it only read, and has not":  {disk(volume("gone"), reads), "it cannot have now"},
		"what it wrote, and is elsewhere": {disk(volume("gone"), writes), "is not in VirtualMachineSnapshot s"},
		"what it wrote, and has again":    {disk(volume("again"), writes), "is not in VirtualMachineSnapshot s"},
		"a disk of spec.domain":           {disk("base.qcow2", writes), ""},
		"an empty tray":                   {"<disk type='file' device='cdrom'><readonly/></disk>", ""},
	} {
		t.Run(name, func(t *testing.T) {
			was := "<domain type='kvm'><name>d</name><devices>" + disk(volume("data"), writes) + test.disk + "</devices></domain>"
			got, err := strangeDisk(in, was)
			if err != nil || test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if _, err := strangeDisk(in, "<domain"); err == nil {
		t.Error("a document that is none is believed")
	}
}
