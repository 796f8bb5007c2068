package imagestate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestDecide(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	ready := v1alpha1.ImageCopy{NodeName: "a", PoolName: "p", Phase: v1alpha1.ImageReady, Bytes: 5, VirtualSize: 6}
	fetching := v1alpha1.ImageCopy{NodeName: "b", PoolName: "p", Phase: v1alpha1.ImageFetching, Message: "it is being fetched"}
	failed := v1alpha1.ImageCopy{NodeName: "c", PoolName: "p", Phase: v1alpha1.ImageFailed, Reason: v1alpha1.ReasonFetchFailed, Message: "404"}
	lost := v1alpha1.ImageCopy{NodeName: "gone", PoolName: "p", Phase: v1alpha1.ImageReady}
	for name, test := range map[string]struct {
		hosts    []v1alpha1.ImageCopy
		deleted  bool
		standing []string
		// phase, copies, hosts and says are of the status.
		phase  v1alpha1.ImagePhase
		copies int32
		left   int
		says   string
	}{
		"nobody needs it":         {phase: v1alpha1.ImagePending, says: "False Unneeded: a host fetches it for the first VirtualDisk there that begins with it"},
		"one fetches it":          {hosts: []v1alpha1.ImageCopy{failed, fetching}, phase: v1alpha1.ImageFetching, left: 2, says: "False Fetching: host b: it is being fetched"},
		"one could not":           {hosts: []v1alpha1.ImageCopy{failed}, phase: v1alpha1.ImageFailed, left: 1, says: "False FetchFailed: host c: 404"},
		"one has it":              {hosts: []v1alpha1.ImageCopy{failed, ready, fetching}, phase: v1alpha1.ImageReady, copies: 1, left: 3, says: "True Cached: a host has it"},
		"one that is gone had it": {hosts: []v1alpha1.ImageCopy{lost}, phase: v1alpha1.ImagePending, says: "False Unneeded: a host fetches it for the first VirtualDisk there that begins with it"},
		"it is deleted and disks stand on it": {hosts: []v1alpha1.ImageCopy{ready}, deleted: true, standing: []string{"a", "b", "c", "d", "e", "f", "g"}, phase: v1alpha1.ImageDeleting, copies: 1, left: 1,
			says: "False InUse: it is deleted when no disk stands on it any more: VirtualDisks a, b, c, d, e and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			image := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Status: v1alpha1.VirtualDiskImageStatus{Hosts: test.hosts}}
			if test.deleted {
				image.DeletionTimestamp = &now
			}
			s := image.Status.DeepCopy()
			exists := func(host string) bool { return host != "gone" }
			decide(s, image, test.standing, exists, now)
			c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionImageReady)
			if says := string(c.Status) + " " + c.Reason + ": " + c.Message; says != test.says || s.Phase != test.phase || s.Copies != test.copies || len(s.Hosts) != test.left || s.ObservedGeneration != 3 {
				t.Errorf("%s: %+v", says, s)
			}
			again := s.DeepCopy()
			decide(again, image, test.standing, exists, metav1.NewTime(now.Add(time.Hour)))
			if diff := cmp.Diff(s, again); diff != "" {
				t.Errorf("twice it is another:\n%s", diff)
			}
		})
	}
}

func TestStanding(t *testing.T) {
	disk := func(name, image string, clone v1alpha1.ImageClone, host string) v1alpha1.VirtualDisk {
		d := v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.VirtualDiskStatus{NodeName: host}}
		d.Spec.Source = &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: image, Clone: clone}}
		return d
	}
	got := standing("image", []v1alpha1.VirtualDisk{
		disk("b", "image", v1alpha1.CloneBacking, "h"), disk("a", "image", v1alpha1.CloneBacking, "h"),
		disk("copy", "image", v1alpha1.CloneFull, "h"), disk("nowhere", "image", v1alpha1.CloneBacking, ""),
		disk("other", "another", v1alpha1.CloneBacking, "h"), {},
	})
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
