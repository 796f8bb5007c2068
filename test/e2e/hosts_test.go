package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// realHost is one of the hosts with real guests.
type realHost struct {
	node, executor, process string
	// dir is what is its own in the cluster's folder.
	dir string
}

// first and second are the two that twoHosts has.
func first() realHost {
	return realHost{node: "real-1", executor: "vm-executor-real", process: "host", dir: env.dir}
}

func second() realHost {
	return realHost{node: "real-2", executor: "vm-executor-real-2", process: "host-2", dir: filepath.Join(env.dir, "second")}
}

// hostOf is the host that a VM has.
func hostOf(t *testing.T, vm *v1alpha1.VirtualMachine) realHost {
	t.Helper()
	for _, h := range []realHost{first(), second()} {
		if node(vm) == h.node {
			return h
		}
	}
	t.Fatalf("VM %s is on host %q, which is no real one", vm.Name, node(vm))
	return realHost{}
}

// twoHosts brings the second one up, for the length of a test.
func twoHosts(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(env.up("--second-real-host")).To(Succeed())
	t.Cleanup(func() {
		if err := env.up("--second-real-host=false"); err != nil {
			t.Error(err)
		}
		for _, o := range []client.Object{
			&v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: second().node}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: second().node}},
		} {
			if err := env.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	})
	for _, h := range []realHost{first(), second()} {
		g.Eventually(h.hypervisor).WithTimeout(bootTime).Should(WithTransform(func(hv *v1alpha1.Hypervisor) bool {
			return meta.IsStatusConditionTrue(hv.Status.Conditions, v1alpha1.HypervisorReady) && hv.Status.Transfer != nil && len(hv.Status.Pools) > 0
		}, BeTrue()))
	}
}

func (h realHost) hypervisor() (*v1alpha1.Hypervisor, error) {
	hv := &v1alpha1.Hypervisor{}
	return hv, env.Get(context.Background(), client.ObjectKey{Name: h.node}, hv)
}

func (h realHost) virsh(t *testing.T, args ...string) string {
	t.Helper()
	uri := "qemu+unix:///system?socket=" + filepath.Join(h.dir, "host", "run", "libvirt-sock")
	out, err := exec.Command("virsh", append([]string{"--quiet", "--connect", uri}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("virsh %s on %s: %v: %s", strings.Join(args, " "), h.node, err, out)
	}
	return string(out)
}

// volumes lists the volumes of VirtualDisks in a pool of the host, marks among them.
func (h realHost) volumes(t *testing.T, pool string) (out []string) {
	t.Helper()
	h.virsh(t, "pool-refresh", pool)
	for _, line := range strings.Split(h.virsh(t, "vol-list", pool), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && strings.Contains(fields[0], v1alpha1.VolumeMark) {
			out = append(out, fields[0])
		}
	}
	return out
}

// image is the file of a volume in the host's pool default.
func (h realHost) image(volume string) string {
	return filepath.Join(h.dir, "host", "lib", "images", volume)
}

// libvirtd is the host's.
func (h realHost) libvirtd(t *testing.T) int {
	t.Helper()
	host, err := env.PID(h.process)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range live.Processes() {
		if name, parent := live.NameAndParent(pid); name == "libvirtd" && parent == host {
			return pid
		}
	}
	t.Fatalf("host %s runs no libvirtd", h.node)
	return 0
}

// inside runs a program with the host's mounts.
func (h realHost) inside(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.libvirtd(t)), "-m"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v on %s: %v: %s", args, h.node, err, out)
	}
	return string(out)
}

// mount shows a folder of the machine, with all that is mounted there, to the host.
func (h realHost) mount(t *testing.T, from, at string) {
	t.Helper()
	h.inside(t, "mkdir", "-p", at)
	done := make(chan error, 1)
	pid := h.libvirtd(t)
	go func() {
		// The thread ends with the goroutine: it is of no other use in another mount
		// namespace.
		runtime.LockOSThread()
		done <- func() error {
			tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			if err != nil {
				return fmt.Errorf("cloning the mount: %w", err)
			}
			defer func() { _ = unix.Close(tree) }()
			there, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(there) }()
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Setns(there, unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("entering the host: %w", err)
			}
			return unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("mounting %s at %s of %s: %v", from, at, h.node, err)
	}
}

// atHomeOn gives a disk its home on the host, as the scheduler does, without a VM.
func atHomeOn(t *testing.T, name string, h realHost, pool string) *v1alpha1.VirtualDisk {
	t.Helper()
	g := NewWithT(t)
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := fmt.Sprintf(`{"status":{"nodeName":%q,"poolName":%q}}`, h.node, pool)
	g.Expect(env.Status().Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
	g.Eventually(getDisk(t, name)).WithTimeout(bootTime).Should(WithTransform(isReady, BeTrue()))
	d, err := getDisk(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	return d
}

// moveDisk edits where a disk is to be, as a user does.
func moveDisk(t *testing.T, name, node, pool string) {
	t.Helper()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := fmt.Sprintf(`{"spec":{"nodeName":%q,"poolName":%q}}`, node, pool)
	if node == "" {
		patch = fmt.Sprintf(`{"spec":{"nodeName":null,"poolName":%q}}`, pool)
	}
	if err := env.Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// moveTime is far above what a move of some MiB takes, with the pauses after
// attempts that were cut off.
const moveTime = 5 * time.Minute

// isAt waits until a disk is at home in a pool of the host and in no move.
func isAt(t *testing.T, name string, h realHost, pool string) *v1alpha1.VirtualDisk {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(getDisk(t, name)).WithTimeout(moveTime).Should(And(
		HaveField("Status.NodeName", h.node), HaveField("Status.PoolName", pool), HaveField("Status.MoveTo", BeNil()),
		WithTransform(isReady, BeTrue()), WithTransform(says(v1alpha1.ConditionDiskInPlace), HavePrefix("True")),
	))
	d, err := getDisk(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	return d
}
