package imagestate

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestHomeOf(t *testing.T) {
	host := func(name string, room int64, changes ...func(*v1alpha1.Hypervisor)) v1alpha1.Hypervisor {
		h := v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		h.Status.Transfer = &v1alpha1.HostTransfer{Address: "a"}
		h.Status.Pools = []v1alpha1.HostPool{{Name: "default", Type: "dir", Allocatable: room}, {Name: "slow", Type: "netfs", Allocatable: 1}}
		h.Status.Conditions = []metav1.Condition{{Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue}}
		for _, change := range changes {
			change(&h)
		}
		return h
	}
	alone := func(h *v1alpha1.Hypervisor) { h.Status.Transfer = nil }
	away := func(h *v1alpha1.Hypervisor) { h.Status.Conditions[0].Status = metav1.ConditionFalse }
	noFiles := func(h *v1alpha1.Hypervisor) { h.Status.Pools[0].Type = "logical" }
	for name, test := range map[string]struct {
		upload *v1alpha1.UploadOrigin
		has    string
		hosts  []v1alpha1.Hypervisor
		want   string
	}{
		"most room":                     {&v1alpha1.UploadOrigin{}, "", []v1alpha1.Hypervisor{host("a", 5), host("b", 7), host("c", 7)}, "b"},
		"that exchanges volumes":        {&v1alpha1.UploadOrigin{}, "", []v1alpha1.Hypervisor{host("a", 5), host("b", 7, alone)}, "a"},
		"that is ready":                 {&v1alpha1.UploadOrigin{}, "", []v1alpha1.Hypervisor{host("a", 5), host("b", 7, away)}, "a"},
		"that has files":                {&v1alpha1.UploadOrigin{}, "", []v1alpha1.Hypervisor{host("a", 5, noFiles)}, ""},
		"that has another pool":         {&v1alpha1.UploadOrigin{PoolName: "slow"}, "", []v1alpha1.Hypervisor{host("b", 5), host("a", 1)}, "a"},
		"none":                          {&v1alpha1.UploadOrigin{}, "", nil, ""},
		"the one that it asks for":      {&v1alpha1.UploadOrigin{NodeName: "z"}, "", []v1alpha1.Hypervisor{host("a", 5)}, "z"},
		"the one that it has":           {&v1alpha1.UploadOrigin{}, "gone", []v1alpha1.Hypervisor{host("a", 5)}, "gone"},
		"an image that is fetched":      {nil, "", []v1alpha1.Hypervisor{host("a", 5)}, ""},
		"what it has, not what it asks": {&v1alpha1.UploadOrigin{NodeName: "z"}, "y", nil, "y"},
	} {
		t.Run(name, func(t *testing.T) {
			image := &v1alpha1.VirtualDiskImage{}
			image.Spec.Source.Upload, image.Status.NodeName = test.upload, test.has
			if got := homeOf(image, test.hosts); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatIsSaidOfUploads(t *testing.T) {
	copyOf := func(node, reason string, phase v1alpha1.ImagePhase) v1alpha1.ImageCopy {
		return v1alpha1.ImageCopy{NodeName: node, PoolName: "default", Phase: phase, Reason: reason, Message: "words"}
	}
	for name, test := range map[string]struct {
		home   string
		hosts  []v1alpha1.ImageCopy
		phase  v1alpha1.ImagePhase
		reason string
	}{
		"no host":                {"", nil, v1alpha1.ImagePending, v1alpha1.ReasonNoUploadHost},
		"a host that is gone":    {"gone", nil, v1alpha1.ImagePending, v1alpha1.ReasonNoUploadHost},
		"nothing yet":            {"a", nil, v1alpha1.ImagePending, v1alpha1.ReasonAwaitingUpload},
		"a part":                 {"a", []v1alpha1.ImageCopy{copyOf("a", v1alpha1.ReasonUploadBrokenOff, v1alpha1.ImageFetching)}, v1alpha1.ImageFetching, v1alpha1.ReasonUploadBrokenOff},
		"all":                    {"a", []v1alpha1.ImageCopy{copyOf("a", v1alpha1.ReasonImageCached, v1alpha1.ImageReady)}, v1alpha1.ImageReady, v1alpha1.ReasonImageCached},
		"lost, cached by others": {"a", []v1alpha1.ImageCopy{copyOf("b", v1alpha1.ReasonImageCached, v1alpha1.ImageReady), copyOf("a", v1alpha1.ReasonImageLost, v1alpha1.ImageFailed)}, v1alpha1.ImageFailed, v1alpha1.ReasonImageLost},
	} {
		t.Run(name, func(t *testing.T) {
			image := &v1alpha1.VirtualDiskImage{}
			image.Spec.Source.Upload = &v1alpha1.UploadOrigin{}
			s := &v1alpha1.VirtualDiskImageStatus{NodeName: test.home, Hosts: test.hosts}
			decide(s, image, nil, func(host string) bool { return host != "gone" }, metav1.Now())
			if s.Phase != test.phase || len(s.Conditions) != 1 || s.Conditions[0].Reason != test.reason {
				t.Errorf("%+v", s)
			}
		})
	}
}
