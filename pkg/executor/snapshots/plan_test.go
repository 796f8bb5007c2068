package snapshots

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const node = "a"

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// usual is a snapshot that the host has been given, of a VM with one disk that runs.
func usual(changes ...func(*Situation)) Situation {
	s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: "s-uid", Finalizers: []string{v1alpha1.SnapshotFinalizer}}}
	s.Spec = v1alpha1.VirtualMachineSnapshotSpec{VirtualMachineName: "web", Memory: v1alpha1.SnapshotMemoryNone, Quiesce: v1alpha1.QuiesceIfPossible}
	s.Status = v1alpha1.VirtualMachineSnapshotStatus{Phase: v1alpha1.SnapshotCreating, NodeName: node, VirtualMachineUID: "vm-uid"}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "vm-uid"}}
	in := Situation{
		Node: node, Snapshot: s, VM: vm, Now: now, Memory: Memory{Cleaned: true},
		Guest: Guest{Domain: &libvirt.Domain{UUID: "vm-uid", State: libvirt.StateRunning}},
		Disks: []Disk{disk("data")},
	}
	s.Status.Disks = []v1alpha1.SnapshotDisk{{Name: "data", UID: "d-uid", PoolName: "default", VolumeName: "data.vd-1"}}
	for _, f := range changes {
		f(&in)
	}
	return in
}

func disk(name string) Disk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "d-uid"}}
	d.Status = v1alpha1.VirtualDiskStatus{
		NodeName: node, PoolName: "default", VolumeName: name + ".vd-1", Format: v1alpha1.DiskQCOW2, ClaimedBy: &v1alpha1.DiskClaim{Name: "web", UID: "vm-uid"},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionDiskReady, Status: metav1.ConditionTrue}},
	}
	return Disk{Spec: &v1alpha1.VirtualMachineDisk{Name: name, DiskName: name}, Object: d}
}

func off(in *Situation)    { in.Guest.Domain.State = libvirt.StateShutOff }
func saved(in *Situation)  { in.Guest.Domain.State, in.Guest.Domain.Saved = libvirt.StateShutOff, true }
func memory(in *Situation) { in.Snapshot.Spec.Memory = v1alpha1.SnapshotMemoryInternal }
func deleted(in *Situation) {
	at := metav1.NewTime(now)
	in.Snapshot.DeletionTimestamp = &at
}
func strict(in *Situation) { in.Snapshot.Spec.Quiesce = v1alpha1.QuiesceRequire }
func restoring(r v1alpha1.SnapshotRestore) func(*Situation) {
	return func(in *Situation) { in.Snapshot.Status.Restoring, in.Restoring = &r, true }
}
func ready(in *Situation) { in.Snapshot.Status.Phase = v1alpha1.SnapshotReady }

// gives is a guest that writes the volume, whatever its VM names.
func gives(volume string) func(*Situation) {
	return func(in *Situation) { in.Guest.Domain.Written = []libvirt.VolumeRef{{Pool: "default", Name: volume}} }
}

func TestPlan(t *testing.T) {
	failing := []Step{StepClean, StepFail}
	for name, test := range map[string]struct {
		in   Situation
		want []Step
		// says is in the report's message, or in why it is refused.
		says string
	}{
		"another host's":           {usual(func(in *Situation) { in.Snapshot.Status.NodeName = "b" }), nil, ""},
		"a new one is held first":  {usual(func(in *Situation) { in.Snapshot.Finalizers = nil; in.Snapshot.Status.Phase = v1alpha1.SnapshotPending }), []Step{StepHold}, ""},
		"then it is said what of":  {usual(func(in *Situation) { in.Snapshot.Status.Phase = v1alpha1.SnapshotPending }), []Step{StepBegin}, ""},
		"what an earlier try left": {usual(func(in *Situation) { in.Memory.Cleaned = false }), []Step{StepClean}, ""},
		"a guest that runs":        {usual(), []Step{StepMake}, ""},
		"no guest":                 {usual(off), []Step{StepMake}, ""},
		"no domain":                {usual(func(in *Situation) { in.Guest.Domain = nil }), []Step{StepMake}, ""},
		"saved memory":             {usual(saved), []Step{StepMake}, ""},
		"made, and not written":    {usual(off, memory, func(in *Situation) { in.Memory.Made = &Made{} }), []Step{StepFinish}, ""},
		"the VM is gone":           {usual(func(in *Situation) { in.VM = nil }), failing, "was deleted before"},
		"another VM of the name":   {usual(func(in *Situation) { in.VM.UID = "other" }), failing, "was deleted before"},
		"the VM goes":              {usual(func(in *Situation) { in.VM.DeletionTimestamp = &metav1.Time{Time: now} }), failing, "is being deleted"},
		"no disks":                 {usual(func(in *Situation) { in.Disks = nil }), failing, "give it one in spec.disks"},
		"only read":                {usual(func(in *Situation) { in.Disks[0].Spec.ReadOnly = true }), failing, "has no VirtualDisk that its guest writes"},
		"shared and read":          {usual(func(in *Situation) { in.Disks[0].Object.Spec.AccessMode = v1alpha1.DiskSharedReadOnly }), failing, "has no VirtualDisk"},
		"raw":                      {usual(func(in *Situation) { in.Disks[0].Object.Status.Format = v1alpha1.DiskRaw }), failing, "VirtualDisk data is raw"},
		"raw beside qcow2": {usual(func(in *Situation) {
			d := disk("b")
			d.Object.Status.Format = v1alpha1.DiskRaw
			in.Disks = append(in.Disks, d)
		}), failing, "VirtualDisk b is raw"},
		"several writers":             {usual(func(in *Situation) { in.Disks[0].Object.Spec.AccessMode = v1alpha1.DiskSharedReadWrite }), failing, "written by several"},
		"libvirt's own document":      {usual(func(in *Situation) { in.Snapshot.Spec.Memory = v1alpha1.SnapshotMemoryExternal }), failing, "spec.memory Internal"},
		"memory of a guest":           {usual(memory), []Step{StepMake}, ""},
		"memory of none":              {usual(memory, off), failing, "start it first"},
		"memory that is saved":        {usual(memory, saved), failing, "saved already"},
		"memory of a paused guest":    {usual(memory, func(in *Situation) { in.Guest.Domain.State = libvirt.StatePaused }), failing, "the guest is paused"},
		"memory of one to be paused":  {usual(memory, func(in *Situation) { in.VM.Spec.PowerState = v1alpha1.PowerPaused; in.Snapshot.Finalizers = nil }), []Step{StepFail}, "the guest is paused"},
		"memory, a try was cut short": {usual(memory, func(in *Situation) { in.Guest.Domain.State = libvirt.StatePaused; in.Memory.Cleaned = false }), []Step{StepClean}, ""},
		"memory, and foreign disks":   {usual(memory, func(in *Situation) { in.Guest.Writes = true }), failing, "no VirtualDisks"},
		"disks beside foreign disks":  {usual(func(in *Situation) { in.Guest.Writes = true }), []Step{StepMake}, ""},
		"Require of a guest":          {usual(strict), []Step{StepMake}, ""},
		"Require of none":             {usual(strict, off), []Step{StepMake}, ""},
		"Require of saved memory":     {usual(strict, saved), failing, "spec.powerState to Running"},
		"Require of a paused guest":   {usual(strict, func(in *Situation) { in.Guest.Domain.State = libvirt.StatePaused }), failing, "hears nothing"},
		"a disk that is not ready":    {usual(func(in *Situation) { in.Disks[0].Object.Status.Conditions = nil }), nil, "is not ready"},
		"a disk that is not there":    {usual(func(in *Situation) { in.Disks[0].Object = nil }), nil, "there is no VirtualDisk data"},
		"a disk of another VM":        {usual(func(in *Situation) { in.Disks[0].Object.Status.ClaimedBy.UID = "x" }), nil, "has VirtualDisk data now"},
		"a disk that is moved": {usual(func(in *Situation) {
			in.Disks[0].Object.Status.MoveTo = &v1alpha1.DiskTarget{NodeName: "b", PoolName: "fast"}
		}), nil, "is being moved to storage pool fast of host b"},
		"a disk that is copied":     {usual(func(in *Situation) { in.Disks[0].Copied = true }), nil, "is being copied or exported"},
		"spec.disks was edited":     {usual(func(in *Situation) { in.Disks[0].Object.UID = "other" }), []Step{StepBegin}, ""},
		"a disk that is given up":   {usual(gives("b.vd-1")), []Step{StepMake}, ""},
		"and is in the memory":      {usual(memory, gives("b.vd-1")), nil, "the guest has volume b.vd-1 still"},
		"memory, all disks named":   {usual(memory, gives("data.vd-1")), []Step{StepMake}, ""},
		"a guest that shuts down":   {usual(func(in *Situation) { in.Guest.Domain.State = libvirt.StateShuttingDown }), nil, "between two states"},
		"while another is restored": {usual(func(in *Situation) { in.Restoring = true }), nil, "is being restored"},
		"a failure is waited out":   {usual(func(in *Situation) { in.Memory.note("no luck", now) }), nil, "no luck; it is tried again"},
		"a failure for good":        {usual(func(in *Situation) { in.Memory.Refused, in.Memory.Why = "X", "never" }), failing, "never"},
		"whole":                     {usual(ready), nil, ""},
		"failed, and held still": {usual(func(in *Situation) {
			in.Snapshot.Status.Phase, in.Snapshot.Status.Disks = v1alpha1.SnapshotFailed, nil
		}), []Step{StepLetGo}, ""},
		"lost, and in other disks": {usual(func(in *Situation) {
			in.Snapshot.Status.Phase = v1alpha1.SnapshotFailed
			in.Snapshot.Status.Disks = make([]v1alpha1.SnapshotDisk, 1)
		}), nil, ""},
		"deleted":                     {usual(ready, deleted), []Step{StepClean, StepUnlink, StepLetGo}, "removed from the disks"},
		"deleted with the VM gone":    {usual(ready, deleted, func(in *Situation) { in.VM, in.Guest, in.Disks = nil, Guest{}, nil }), []Step{StepClean, StepUnlink, StepLetGo}, ""},
		"deleted and let go":          {usual(ready, deleted, func(in *Situation) { in.Snapshot.Finalizers = nil }), nil, ""},
		"deleted amid another":        {usual(ready, deleted, func(in *Situation) { in.Restoring = true }), nil, "when the VM has been restored"},
		"restored, guest still there": {usual(ready, restoring(v1alpha1.SnapshotRestore{})), nil, "being brought back"},
		"restored, memory still":      {usual(ready, saved, restoring(v1alpha1.SnapshotRestore{})), nil, "being brought back"},
		"restored":                    {usual(ready, off, restoring(v1alpha1.SnapshotRestore{})), []Step{StepRevert}, ""},
		"restored, though deleted":    {usual(ready, deleted, off, restoring(v1alpha1.SnapshotRestore{})), []Step{StepRevert}, ""},
		"disks back, VM's turn":       {usual(ready, off, restoring(v1alpha1.SnapshotRestore{DisksDone: true}), func(in *Situation) { in.Asked = true }), nil, "being brought back"},
		"disks back, nobody asks":     {usual(ready, off, restoring(v1alpha1.SnapshotRestore{DisksDone: true})), []Step{StepRestored}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := Plan(test.in)
			if diff := cmp.Diff(test.want, d.Steps); diff != "" {
				t.Error(diff)
			}
			says := d.Why
			if d.Report != nil {
				says += d.Report.Message
			}
			if !strings.Contains(says, test.says) {
				t.Errorf("says %q", says)
			}
			// What neither acts nor is settled looks again by itself, or a watch does.
			if len(d.Steps) > 0 && !d.Again && !slices.Contains(d.Steps, StepLetGo) {
				t.Error("it does not look again")
			}
		})
	}
}

func TestUnusableSnapshots(t *testing.T) {
	good := func() (*v1alpha1.VirtualMachineSnapshot, *v1alpha1.VirtualMachine, []Disk) {
		in := usual(ready)
		in.Snapshot.Status.Disks = []v1alpha1.SnapshotDisk{{Name: "data", UID: "d-uid", PoolName: "default", VolumeName: "data.vd-1"}}
		in.Snapshot.Status.MemoryVolume = &v1alpha1.SnapshotMemoryVolume{}
		return in.Snapshot, in.VM, in.Disks
	}
	for name, test := range map[string]struct {
		change func(s *v1alpha1.VirtualMachineSnapshot, vm *v1alpha1.VirtualMachine, disks []Disk)
		want   string
	}{
		"good": {func(*v1alpha1.VirtualMachineSnapshot, *v1alpha1.VirtualMachine, []Disk) {}, ""},
		"of another VM": {func(s *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, _ []Disk) {
			s.Spec.VirtualMachineName = "db"
		}, "is of VirtualMachine db"},
		"deleted": {func(s *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, _ []Disk) {
			s.DeletionTimestamp = &metav1.Time{Time: now}
		}, "is being deleted"},
		"not made": {func(s *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, _ []Disk) {
			s.Status.Phase = v1alpha1.SnapshotCreating
		}, "is Creating: wait"},
		"restored by another": {func(s *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, _ []Disk) {
			s.Status.Restoring = &v1alpha1.SnapshotRestore{}
		}, "by another operation"},
		"elsewhere": {func(s *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, _ []Disk) {
			s.Status.NodeName = "b"
		}, "on host b"},
		"of a VM before this one": {func(_ *v1alpha1.VirtualMachineSnapshot, vm *v1alpha1.VirtualMachine, d []Disk) {
			vm.UID = "n"
			d[0].Object.Status.ClaimedBy.UID = "n"
		}, "restore.withoutMemory"},
		"a disk taken away": {func(_ *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, d []Disk) {
			d[0].Spec.DiskName = "other"
		}, "name it there again"},
		"another disk of that name": {func(_ *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, d []Disk) {
			d[0].Object.UID = "other"
		}, "is another one"},
		"a disk that is exported": {func(_ *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, d []Disk) {
			d[0].Copied = true
		}, "being copied or exported"},
		"a disk of another VM now": {func(_ *v1alpha1.VirtualMachineSnapshot, _ *v1alpha1.VirtualMachine, d []Disk) {
			d[0].Object.Status.ClaimedBy.UID = "x"
		}, "is not the VirtualMachine's to write"},
	} {
		t.Run(name, func(t *testing.T) {
			s, vm, disks := good()
			test.change(s, vm, disks)
			got := unusable(node, s, vm, &v1alpha1.Restore{SnapshotName: "s"}, disks)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("%q", got)
			}
		})
	}
	_, vm, disks := good()
	if got := unusable(node, nil, vm, &v1alpha1.Restore{SnapshotName: "none"}, disks); !strings.Contains(got, "there is no VirtualMachineSnapshot none") {
		t.Error(got)
	}
	s, vm, disks := good()
	vm.UID, disks[0].Object.Status.ClaimedBy.UID = "n", "n"
	if got := unusable(node, s, vm, &v1alpha1.Restore{SnapshotName: "s", WithoutMemory: true}, disks); got != "" {
		t.Errorf("without memory: %q", got)
	}
}
