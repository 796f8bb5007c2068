package disklocality

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// An image takes room beside the disk where it is to be fetched, and says how large
// the disk is that does not say so itself.
func TestRoomForImages(t *testing.T) {
	ofImage := func(d *v1alpha1.VirtualDisk) {
		d.Spec.Source = &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: "image"}}
	}
	sizeless := func(d *v1alpha1.VirtualDisk) { ofImage(d); d.Spec.Size = nil }
	image := func(bytes, size int64, hosts ...string) *v1alpha1.VirtualDiskImage {
		i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "image"}}
		i.Status.Bytes, i.Status.VirtualSize = bytes, size
		for _, h := range hosts {
			i.Status.Hosts = append(i.Status.Hosts, v1alpha1.ImageCopy{NodeName: h, PoolName: "default"})
		}
		return i
	}
	for name, test := range map[string]struct {
		image *v1alpha1.VirtualDiskImage
		disks []*v1alpha1.VirtualDisk
		// hosts are those that do, of 10 GiB each.
		hosts string
	}{
		"one that is not there keeps nobody out":     {disks: []*v1alpha1.VirtualDisk{disk("d", 10, ofImage)}, hosts: "abc"},
		"of which nothing is known":                  {image: image(0, 0), disks: []*v1alpha1.VirtualDisk{disk("d", 10, ofImage)}, hosts: "abc"},
		"it fits beside the disk":                    {image: image(4*gib, gib), disks: []*v1alpha1.VirtualDisk{disk("d", 6, ofImage)}, hosts: "abc"},
		"it does not, but where it is already":       {image: image(4*gib, gib, "b"), disks: []*v1alpha1.VirtualDisk{disk("d", 7, ofImage)}, hosts: "b"},
		"it is fetched once for two disks":           {image: image(4*gib, gib), disks: []*v1alpha1.VirtualDisk{disk("d", 3, ofImage), disk("e", 3, ofImage)}, hosts: "abc"},
		"a disk without a size is as large":          {image: image(gib, 10*gib), disks: []*v1alpha1.VirtualDisk{disk("d", 0, sizeless)}, hosts: ""},
		"a disk without a size is as large and fits": {image: image(gib, 9*gib), disks: []*v1alpha1.VirtualDisk{disk("d", 0, sizeless)}, hosts: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			s := on(t, test.disks...)
			s.disks.WithImages(func(namespace, name string) *v1alpha1.VirtualDiskImage {
				if namespace != "ns" || name != "image" {
					t.Errorf("image %s/%s is looked for", namespace, name)
				}
				return test.image
			})
			var names []string
			for _, d := range test.disks {
				names = append(names, d.Name)
			}
			cs, p := framework.NewCycleState(), pod("vm", names...)
			if _, status := s.PreFilter(t.Context(), cs, p, nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			var got strings.Builder
			for _, host := range []string{"a", "b", "c"} {
				if s.Filter(t.Context(), cs, p, nodeInfo(host)).IsSuccess() {
					got.WriteString(host)
				}
			}
			if got.String() != test.hosts {
				t.Errorf("hosts %q, want %q", got.String(), test.hosts)
			}
		})
	}
}
