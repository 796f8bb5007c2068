package capacity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const gib = int64(1) << 30

func TestAllocatable(t *testing.T) {
	physical := Resources{CPU: 16, Memory: 64 * gib, Hugepages2Mi: 8 * gib}
	for name, test := range map[string]struct {
		foreign  Resources
		settings Settings
		want     Resources
	}{
		"nothing set":                     {want: physical},
		"overcommit is after the reserve": {settings: Settings{CPUOvercommit: 1.5, Reserve: Resources{CPU: 1}}, want: Resources{CPU: 22, Memory: 64 * gib, Hugepages2Mi: 8 * gib}},
		"memory is never overcommitted":   {settings: Settings{CPUOvercommit: 4, Reserve: Resources{Memory: 4 * gib}}, want: Resources{CPU: 64, Memory: 60 * gib, Hugepages2Mi: 8 * gib}},
		"domains of others count":         {foreign: Resources{CPU: 2, Memory: 10 * gib, Hugepages2Mi: gib}, want: Resources{CPU: 14, Memory: 54 * gib, Hugepages2Mi: 7 * gib}},
		"never negative":                  {foreign: Resources{CPU: 99}, settings: Settings{Reserve: Resources{Memory: 99 * gib}}, want: Resources{Hugepages2Mi: 8 * gib}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Allocatable(physical, test.foreign, test.settings)); diff != "" {
				t.Errorf("allocatable (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFromGrantedCountsGuestMemoryOnce(t *testing.T) {
	for name, test := range map[string]struct {
		pages v1alpha1.PageSize
		want  Resources
	}{
		"ordinary": {"", Resources{CPU: 2, Memory: 4*gib + 7}},
		"2Mi":      {v1alpha1.PageSize2Mi, Resources{CPU: 2, Memory: 7, Hugepages2Mi: 4 * gib}},
		"1Gi":      {v1alpha1.PageSize1Gi, Resources{CPU: 2, Memory: 7, Hugepages1Gi: 4 * gib}},
	} {
		t.Run(name, func(t *testing.T) {
			got := FromGranted(v1alpha1.GrantedResources{CPU: 2, Memory: 4 * gib, Overhead: 7, PageSize: test.pages})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestIsWhatWasGrantedWhilePlaced(t *testing.T) {
	vm := &v1alpha1.VirtualMachine{}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("8Gi")}
	want := Resources{CPU: 2, Memory: 8*gib + ComputedOverhead(&vm.Spec)}
	if diff := cmp.Diff(want, Request(Desired(&vm.Spec), nil)); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	// Edited since: it runs with what it was granted, and nobody can take up a
	// host by asking for more.
	vm.Status.Placement = &v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: 4, Memory: 4 * gib, Overhead: 1}}
	want = Resources{CPU: 4, Memory: 4*gib + 1}
	if diff := cmp.Diff(want, Request(Desired(&vm.Spec), vm.Status.Placement)); diff != "" {
		t.Errorf("placed (-want +got):\n%s", diff)
	}
}

func TestShortages(t *testing.T) {
	free := Resources{CPU: 2, Memory: 3 * gib / 2, Hugepages2Mi: -gib}
	for name, test := range map[string]struct {
		need Resources
		want []Shortage
	}{
		"fits":                            {Resources{CPU: 2, Memory: gib}, nil},
		"a shrunk pool hurts nobody else": {Resources{CPU: 1}, nil},
		"each resource is named": {Resources{CPU: 3, Memory: 4 * gib, Hugepages2Mi: gib, Hugepages1Gi: gib}, []Shortage{
			{v1alpha1.ResourceCPU, 3, 2}, {v1alpha1.ResourceMemory, 4 * gib, 3 * gib / 2}, {v1alpha1.ResourceHugepages2Mi, gib, -gib}, {v1alpha1.ResourceHugepages1Gi, gib, 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Shortages(free, test.need)); diff != "" {
				t.Errorf("shortages (-want +got):\n%s", diff)
			}
			if Fits(free, test.need) != (test.want == nil) {
				t.Errorf("Fits disagrees")
			}
		})
	}
}

func TestListAndBack(t *testing.T) {
	r := Resources{CPU: 3, Memory: 5 * gib, Hugepages2Mi: gib, Hugepages1Gi: 2 * gib}
	if diff := cmp.Diff(r, FromList(r.List())); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Resources{}, FromList(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")})); diff != "" {
		t.Errorf("a kubelet's resources are not ours (-want +got):\n%s", diff)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 512: "512", 1536: "1.5Ki", 512 << 20: "512Mi", 3 * gib / 2: "1.5Gi", 64 << 40: "64Ti"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
}
