package diskmove

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const gib = int64(1) << 30

func disk(changes ...func(*v1alpha1.VirtualDisk)) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", ResourceVersion: "42"}}
	d.Spec.Size = resource.NewQuantity(gib, resource.BinarySI)
	d.Status.NodeName, d.Status.PoolName, d.Status.VolumeName, d.Status.Capacity = "a", "default", "v", gib
	for _, f := range changes {
		f(d)
	}
	return d
}

func wanting(node, pool string) func(*v1alpha1.VirtualDisk) {
	return func(d *v1alpha1.VirtualDisk) { d.Spec.NodeName, d.Spec.PoolName = node, pool }
}

func moving(state v1alpha1.DiskMoveState) func(*v1alpha1.VirtualDisk) {
	return func(d *v1alpha1.VirtualDisk) {
		d.Status.MoveTo = &v1alpha1.DiskTarget{ID: "7", NodeName: "b", PoolName: "default"}
		if state != "" {
			d.Status.MoveProgress = &v1alpha1.DiskMoveProgress{ID: "7", State: state, Format: v1alpha1.DiskRaw}
		}
	}
}

func TestDecide(t *testing.T) {
	host := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "b"}}
	host.Status.Pools = []v1alpha1.HostPool{{Name: "default", Type: "dir"}, {Name: "shared", Type: "netfs", Store: "netfs://s/x"}}
	deleted := func(d *v1alpha1.VirtualDisk) { d.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	shared := func(d *v1alpha1.VirtualDisk) { d.Status.PoolName, d.Status.Store = "shared", "netfs://s/x" }
	told := func(d *v1alpha1.VirtualDisk) {
		meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionDiskInPlace, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInUse})
	}
	for name, test := range map[string]struct {
		v    view
		deed deed
		// reason and says are of the condition.
		reason, says string
	}{
		"a disk that is where it was made":       {v: view{disk: disk()}},
		"a disk without a home":                  {v: view{disk: disk(wanting("b", ""), func(d *v1alpha1.VirtualDisk) { d.Status = v1alpha1.VirtualDiskStatus{} })}},
		"it begins":                              {v: view{disk: disk(wanting("b", "")), target: host, room: gib}, deed: begin, reason: v1alpha1.ReasonMoving, says: "to storage pool default of host b"},
		"a VM has it":                            {v: view{disk: disk(wanting("b", "")), target: host, room: gib, user: "vm"}, reason: v1alpha1.ReasonInUse, says: "VirtualMachine vm has it"},
		"there is no such host":                  {v: view{disk: disk(wanting("b", "")), room: gib}, reason: v1alpha1.ReasonHostMissing, says: "there is no host b"},
		"there is no such pool":                  {v: view{disk: disk(wanting("b", "other")), target: host, room: gib}, reason: v1alpha1.ReasonPoolMissing, says: "host b has no active storage pool other"},
		"there is no room":                       {v: view{disk: disk(wanting("b", "")), target: host, room: gib - 1}, reason: v1alpha1.ReasonPoolFull, says: "and it has 1Gi"},
		"a snapshot is inside it":                {v: view{disk: disk(wanting("b", "")), snapshot: "nightly", target: host, room: gib}, reason: v1alpha1.ReasonInUse, says: "VirtualMachineSnapshot nightly"},
		"it has no volume yet":                   {v: view{disk: disk(wanting("b", ""), func(d *v1alpha1.VirtualDisk) { d.Status.VolumeName = "" }), target: host, room: gib}, reason: v1alpha1.ReasonNotReady, says: "when it has a volume"},
		"a store that both have":                 {v: view{disk: disk(wanting("b", "shared"), shared), target: host, room: gib}},
		"out of a store that both have":          {v: view{disk: disk(wanting("b", "default"), shared), target: host, room: gib}, deed: begin, reason: v1alpha1.ReasonMoving, says: "host b"},
		"it goes on":                             {v: view{disk: disk(wanting("b", ""), moving("")), target: host}, reason: v1alpha1.ReasonMoving, says: "no VM can use it"},
		"it goes on although nothing is left":    {v: view{disk: disk(wanting("b", ""), moving(v1alpha1.MoveCopying)), target: host}, reason: v1alpha1.ReasonMoving, says: "no VM can use it"},
		"it is wanted back":                      {v: view{disk: disk(moving(v1alpha1.MoveCopying))}, deed: giveUp, reason: v1alpha1.ReasonInPlace, says: "given up"},
		"it is wanted elsewhere":                 {v: view{disk: disk(wanting("c", ""), moving(v1alpha1.MoveCopying))}, deed: giveUp, reason: v1alpha1.ReasonInPlace, says: "given up"},
		"it is deleted amid a move":              {v: view{disk: disk(wanting("b", ""), moving(v1alpha1.MoveCopying), deleted), target: host}, deed: giveUp, reason: v1alpha1.ReasonInPlace, says: "given up"},
		"it is wanted back when it is copied":    {v: view{disk: disk(moving(v1alpha1.MoveCopied))}},
		"it has left":                            {v: view{disk: disk(moving(v1alpha1.MoveLeft))}, deed: arrive, reason: v1alpha1.ReasonInPlace, says: "it was moved here"},
		"it has left, and is deleted":            {v: view{disk: disk(moving(v1alpha1.MoveLeft), deleted)}, deed: arrive, reason: v1alpha1.ReasonInPlace, says: "it was moved here"},
		"a wish is taken back":                   {v: view{disk: disk(told)}, reason: v1alpha1.ReasonInPlace, says: "where spec asks for"},
		"a deleted disk is not begun with":       {v: view{disk: disk(wanting("b", ""), deleted), target: host, room: gib}},
		"what holds it up at its host is passed": {v: view{disk: disk(wanting("b", ""), moving(v1alpha1.MoveCopying), func(d *v1alpha1.VirtualDisk) { d.Status.MoveProgress.Message = "host b is away" }), target: host}, reason: v1alpha1.ReasonMoving, says: "host b is away"},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(test.v)
			if got.deed != test.deed || got.reason != test.reason || !strings.Contains(got.message, test.says) {
				t.Errorf("got %+v, want deed %d, reason %q, %q", got, test.deed, test.reason, test.says)
			}
			status := test.v.disk.Status.DeepCopy()
			got.apply(status, 1, metav1.Time{})
			switch test.deed {
			case begin:
				if status.MoveTo == nil || status.MoveTo.ID != "42" || status.MoveTo.NodeName != "b" || status.NodeName != "a" {
					t.Errorf("status %+v", status)
				}
			case giveUp:
				if status.MoveTo != nil || status.MoveProgress != nil || status.NodeName != "a" {
					t.Errorf("status %+v", status)
				}
			case arrive:
				if status.MoveTo != nil || status.MoveProgress != nil || status.NodeName != "b" || status.Format != v1alpha1.DiskRaw {
					t.Errorf("status %+v", status)
				}
			}
		})
	}
}
