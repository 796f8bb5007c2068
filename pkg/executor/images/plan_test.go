package images

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

func TestPlan(t *testing.T) {
	pool := &libvirt.Pool{Name: "default", Type: "dir"}
	image := func(changes ...func(*v1alpha1.VirtualDiskImage)) *v1alpha1.VirtualDiskImage {
		i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "image"}}
		for _, f := range changes {
			f(i)
		}
		return i
	}
	deleted := func(i *v1alpha1.VirtualDiskImage) { i.DeletionTimestamp = &metav1.Time{Time: start} }
	told := func(i *v1alpha1.VirtualDiskImage) {
		i.Status.Hosts = []v1alpha1.ImageCopy{{NodeName: node, PoolName: "default"}}
	}
	whole := &libvirt.Volume{Format: "qcow2", Capacity: gib, Length: 1000}
	for name, test := range map[string]struct {
		in    Situation
		steps []Step
		phase v1alpha1.ImagePhase
		// ready, unused and done are of the decision.
		ready, unused, done bool
	}{
		"nothing is there and nobody needs it":      {in: Situation{Image: image()}, done: true},
		"what was told of it is taken back":         {in: Situation{Image: image(told)}, steps: []Step{StepWithdraw}, done: true},
		"it is fetched for a disk":                  {in: Situation{Image: image(), Waiting: 1}, steps: []Step{StepMark, StepFetch, StepUnmark}, phase: v1alpha1.ImageFetching},
		"a part is gone on with":                    {in: Situation{Image: image(), Waiting: 1, Volume: whole, Marked: true}, steps: []Step{StepMark, StepFetch, StepUnmark}, phase: v1alpha1.ImageFetching},
		"a part that nobody waits for goes":         {in: Situation{Image: image(), Volume: whole, Marked: true}, steps: []Step{StepRemove, StepUnmark, StepWithdraw}},
		"a mark that nobody waits for goes":         {in: Situation{Image: image(), Marked: true}, steps: []Step{StepRemove, StepUnmark, StepWithdraw}},
		"a failure waits":                           {in: Situation{Image: image(), Waiting: 1, Memory: Memory{RetryAt: start.Add(time.Minute)}}, phase: v1alpha1.ImageFailed},
		"a whole one is verified once":              {in: Situation{Image: image(), Waiting: 1, Volume: whole}, steps: []Step{StepVerify}},
		"and is ready then":                         {in: Situation{Image: image(), Waiting: 1, Volume: whole, Memory: Memory{Verified: true}}, phase: v1alpha1.ImageReady, ready: true},
		"one that did not hold waits":               {in: Situation{Image: image(), Waiting: 1, InUse: true, Volume: whole, Memory: Memory{RetryAt: start.Add(time.Minute)}}, phase: v1alpha1.ImageFailed},
		"one that disks stand on stays":             {in: Situation{Image: image(), InUse: true, Volume: whole, Memory: Memory{UnusedSince: start.Add(-9 * time.Hour)}}, phase: v1alpha1.ImageReady},
		"one that nobody needs stays a while":       {in: Situation{Image: image(), Volume: whole}, phase: v1alpha1.ImageReady, unused: true},
		"and a while longer":                        {in: Situation{Image: image(), Volume: whole, Memory: Memory{UnusedSince: start.Add(-time.Minute)}}, phase: v1alpha1.ImageReady, unused: true},
		"and goes":                                  {in: Situation{Image: image(), Volume: whole, Memory: Memory{UnusedSince: start.Add(-time.Hour)}}, steps: []Step{StepRemove, StepWithdraw}},
		"one whose object is gone goes":             {in: Situation{Volume: whole}, steps: []Step{StepRemove, StepUnmark}},
		"one whose object is being deleted":         {in: Situation{Image: image(deleted, told), Waiting: 1, Volume: whole}, steps: []Step{StepRemove, StepUnmark, StepWithdraw}},
		"not while a disk stands on it":             {in: Situation{Volume: whole, InUse: true}},
		"nor while it is being deleted":             {in: Situation{Image: image(deleted), Volume: whole, InUse: true}},
		"a part whose object is gone goes":          {in: Situation{Volume: whole, Marked: true, Waiting: 1}, steps: []Step{StepRemove, StepUnmark}},
		"neither object nor volume":                 {in: Situation{}, done: true},
		"it is not fetched for an object that goes": {in: Situation{Image: image(deleted), Waiting: 1}, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Node, test.in.Now, test.in.Grace, test.in.Pool = node, start, time.Hour, pool
			got := Plan(test.in)
			if diff := cmp.Diff(test.steps, got.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			phase := v1alpha1.ImagePhase("")
			if got.Report != nil {
				phase = got.Report.Phase
			}
			if phase != test.phase || got.Ready != test.ready || got.Unused != test.unused || got.Done != test.done {
				t.Errorf("%+v, phase %q, want %q, ready %t, unused %t, done %t", got, phase, test.phase, test.ready, test.unused, test.done)
			}
			heardOf := test.in.InUse && test.in.Image != nil // by the disk's end
			if len(got.Steps) == 0 && !got.Done && !got.Ready && !heardOf && got.RequeueAfter == 0 {
				t.Error("nobody looks again")
			}
		})
	}
	if got := Plan(Situation{Image: image(), Now: start}); len(got.Steps) > 0 || got.RequeueAfter == 0 {
		t.Errorf("without a pool: %+v", got)
	}
}

func TestNamesOfImages(t *testing.T) {
	suffix := volumes.MarkSuffix("cluster", node)
	own, shared := &libvirt.Pool{Name: "default", Type: "dir"}, &libvirt.Pool{Name: "nfs", Type: "netfs", Store: "netfs://s/x"}
	i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a.b", UID: "01234567-89ab-4def-8123-456789abcdef"}}
	for _, pool := range []*libvirt.Pool{own, shared} {
		name := volumeName(i, pool, suffix)
		if !strings.HasPrefix(name, "ns.a.b.vi-0123456789ab") {
			t.Errorf("name %s", name)
		}
		if key, ok := imageOf(name, pool, suffix); !ok || key.Namespace != "ns" || key.Name != "a.b" {
			t.Errorf("%s is read as %v, %t", name, key, ok)
		}
	}
	for name, at := range map[string]*libvirt.Pool{
		volumeName(i, own, suffix):                                    shared,
		volumeName(i, shared, suffix):                                 own,
		volumeName(i, shared, volumes.MarkSuffix("cluster", "other")): shared,
		"ns.a.vi-0123456789ab.vd-0123456789ab":                        own,
		volumeName(i, own, suffix) + suffix:                           own,
		"ns.disk":                                                     own,
	} {
		if key, ok := imageOf(name, at, suffix); ok {
			t.Errorf("%s is taken for an image of pool %s, %v", name, at.Name, key)
		}
	}
}

func TestEntriesOfHosts(t *testing.T) {
	key := libvirt.VolumeRef{Pool: "default", Name: "v"}
	s := &v1alpha1.VirtualDiskImageStatus{}
	Report{Phase: v1alpha1.ImageFetching, Reason: "R"}.apply(s, node, key, start)
	Report{Phase: v1alpha1.ImageReady, Reason: "C", Bytes: 5, VirtualSize: 6}.apply(s, node, key, start.Add(time.Minute))
	Report{Phase: v1alpha1.ImageReady, Reason: "C"}.apply(s, node, key, start.Add(time.Hour))
	at := metav1.NewTime(start.Add(time.Minute))
	want := []v1alpha1.ImageCopy{{NodeName: node, PoolName: "default", Phase: v1alpha1.ImageReady, VolumeName: "v", Bytes: 5, VirtualSize: 6, Reason: "C", Since: &at}}
	if diff := cmp.Diff(want, s.Hosts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range v1alpha1.MaxImageHosts + 5 {
		Report{Phase: v1alpha1.ImageReady}.apply(s, strings.Repeat("x", i+1), key, start)
	}
	if len(s.Hosts) != v1alpha1.MaxImageHosts {
		t.Errorf("%d hosts", len(s.Hosts))
	}
}
