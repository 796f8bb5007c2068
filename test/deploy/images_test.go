package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

var unpacked struct {
	sync.Mutex
	images map[string]*image
}

// imageOf unpacks an image once for all tests.
func imageOf(t *testing.T, name string) *image {
	t.Helper()
	unpacked.Lock()
	defer unpacked.Unlock()
	if i := unpacked.images[name]; i != nil {
		return i
	}
	root, err := os.MkdirTemp(scratch, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	i, err := unpack(filepath.Join(images, name), root)
	if err != nil {
		t.Fatal(err)
	}
	if unpacked.images == nil {
		unpacked.images = map[string]*image{}
	}
	unpacked.images[name] = i
	return i
}

func TestImages(t *testing.T) {
	for name, test := range map[string]struct {
		user string
		// most is how large it may be to pull, in MB.
		most int64
		has  []string
		not  []string
		says []string
	}{
		"vm-scheduler": {
			user: "65532:65532", most: 60,
			has: []string{"etc/ssl/certs/ca-certificates.crt", "etc/passwd", "tmp"},
			// Nothing to be run but the program.
			not:  []string{"usr/bin/sh", "usr/lib/x86_64-linux-gnu/libc.so.6"},
			says: []string{"Kubernetes v1."},
		},
		"vm-executor": {
			user: "0:0", most: 60,
			has: []string{
				"etc/ssl/certs/ca-certificates.crt", "usr/lib/x86_64-linux-gnu/libvirt.so.0", "var/lib/dpkg/status.d/libvirt0",
				"usr/share/doc/libvirt0/copyright",
			},
			not:  []string{"usr/bin/sh", "usr/bin/dpkg", "usr/sbin/libvirtd", "usr/bin/qemu-img"},
			says: []string{"vm-executor version"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := imageOf(t, name)
			if i.Config.User != test.user || cmp.Diff([]string{"/usr/bin/" + name}, i.Config.Entrypoint) != "" || i.OS != "linux" || i.Config.Labels["org.opencontainers.image.title"] != name {
				t.Errorf("is configured as %+v", i.Config)
			}
			t.Logf("%.1f MB to pull", float64(i.size)/1e6)
			if i.size > test.most*1e6 {
				t.Errorf("has %d bytes to pull; more than %d MB need a reason", i.size, test.most)
			}
			for _, path := range test.has {
				if _, err := os.Stat(filepath.Join(i.root, path)); err != nil {
					t.Error(err)
				}
			}
			for _, path := range test.not {
				if _, err := os.Lstat(filepath.Join(i.root, path)); err == nil {
					t.Errorf("%s is there", path)
				}
			}
			said := inside(t, i, "--version")
			for _, want := range test.says {
				if !strings.Contains(said, want) {
					t.Errorf("--version says %q and not %q", said, want)
				}
			}
		})
	}
}

// locked is the security of a container that may do nothing.
func locked() corev1.Container {
	return corev1.Container{Name: "locked", SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}}
}

// inside runs the image's program to its end, and returns what it prints.
func inside(t *testing.T, i *image, args ...string) string {
	t.Helper()
	c, err := describe(i, locked(), nil, nil, args, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd, err := c.start(newSpace(t), log)
	if err != nil {
		t.Fatal(err)
	}
	waited := cmd.Wait()
	said, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if waited != nil {
		t.Fatalf("%v: %v\n%s", args, waited, said)
	}
	return string(bytes.TrimSpace(said))
}
