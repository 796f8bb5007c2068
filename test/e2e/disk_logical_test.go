package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// logicalPool has the first host offer a volume group of 256 MiB as pool fast, and
// says what it really is.
func logicalPool(t *testing.T) string {
	t.Helper()
	h := first()
	what := "LVM on a loop device"
	h.inside(t, "mkdir", "-p", "/var/lib/libvirt/fast")
	if exec.Command("dmsetup", "version").Run() == nil {
		h.inside(t, "truncate", "-s", "260M", "/var/lib/libvirt/fast/disk")
		device := string(bytes.TrimSpace([]byte(h.inside(t, "losetup", "-f", "--show", "/var/lib/libvirt/fast/disk"))))
		h.inside(t, "vgcreate", "fast", device)
		t.Cleanup(func() {
			h.inside(t, "vgremove", "-f", "fast")
			h.inside(t, "losetup", "-d", device)
		})
	} else {
		what = "loop devices behind a stand-in for LVM's commands, for this kernel has no device mapper"
		program, err := filepath.Abs("testdata/lvm")
		if err != nil {
			t.Fatal(err)
		}
		h.inside(t, "mount", "--bind", program, "/usr/sbin/lvm")
		// It is seen in the host alone, and goes with it.
		t.Cleanup(func() { _ = os.Remove("/dev/fast") })
		if err := os.MkdirAll("/dev/fast", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	document := filepath.Join(t.TempDir(), "pool.xml")
	if err := os.WriteFile(document, []byte(`<pool type='logical'><name>fast</name><source><name>fast</name><format type='lvm2'/></source><target><path>/dev/fast</path></target></pool>`), 0o600); err != nil {
		t.Fatal(err)
	}
	h.virsh(t, "pool-define", document)
	h.virsh(t, "pool-start", "fast")
	t.Cleanup(func() {
		h.virsh(t, "pool-destroy", "fast")
		h.virsh(t, "pool-undefine", "fast")
	})
	return what
}

// TestDiskLogical follows disks that are logical volumes.
func TestDiskLogical(t *testing.T) {
	g := NewWithT(t)
	t.Log("the pool is " + logicalPool(t))
	g.Eventually(func() bool {
		hv, err := first().hypervisor()
		for _, p := range hv.Status.Pools {
			if err == nil && p.Name == "fast" && p.Type == "logical" && p.Allocatable > 200<<20 {
				return true
			}
		}
		return false
	}).WithTimeout(2 * time.Minute).Should(BeTrue())
	device := func(volume string) []byte {
		content, err := os.ReadFile("/dev/fast/" + volume)
		g.Expect(err).NotTo(HaveOccurred())
		return content
	}

	// Its size is rounded to extents, and nothing of what others left is seen.
	createDisk(t, newDisk("lv", "10Mi", inPool("fast")))
	d := atHomeOn(t, "lv", first(), "fast")
	g.Expect(d.Status.Format).To(Equal(v1alpha1.DiskRaw))
	g.Expect(d.Status.Capacity).To(Equal(int64(12 << 20)))
	g.Expect(bytes.Trim(device(d.VolumeName()), "\x00")).To(BeEmpty(), "it shows what others have left")
	g.Expect(first().volumes(t, "fast")).To(Equal([]string{d.VolumeName()}), "a mark is left")

	const name = "on-lv"
	t.Cleanup(func() { remove(t, name) })
	create(t, withDisk(newAgentGuest(t, name, nil), "lv"))
	vm := answers(t, name)
	inGuest(t, vm, "echo "+secret+" >/dev/vdb; sync; echo WRITTEN= >/dev/ttyS0")
	g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("WRITTEN="))
	resize := func(size string) {
		patched, err := getDisk(t, "lv")()
		g.Expect(err).NotTo(HaveOccurred())
		patched.Spec.Size = newDisk("lv", size).Spec.Size
		g.Expect(env.Update(t.Context(), patched)).To(Succeed())
	}
	resize("20Mi")
	g.Eventually(getDisk(t, "lv")).WithTimeout(settleTime).Should(WithTransform(says(v1alpha1.ConditionDiskSized),
		ContainSubstring("False InvalidVolume: libvirt cannot make volumes larger in a pool of type logical: make a VirtualDisk of 20Mi with this one as its source")))
	resize("12Mi")
	remove(t, name)

	// So that is what is done.
	createDisk(t, newDisk("larger", "20Mi", inPool("fast"), copyOf("lv")))
	larger := atHomeOn(t, "larger", first(), "fast")
	g.Expect(larger.Status.Capacity).To(Equal(int64(20 << 20)))
	content := device(larger.VolumeName())
	g.Expect(bytes.HasPrefix(content, []byte(secret))).To(BeTrue())
	g.Expect(bytes.Trim(content[12<<20:], "\x00")).To(BeEmpty(), "behind the copy it shows what others have left")

	// To a pool of files and back.
	moveDisk(t, "larger", "", "default")
	larger = isAt(t, "larger", first(), "default")
	g.Expect(larger.Status.Format).To(Equal(v1alpha1.DiskRaw))
	moved, err := os.ReadFile(first().image(larger.VolumeName()))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(moved, content)).To(BeTrue())
	g.Expect(first().volumes(t, "fast")).To(Equal([]string{d.VolumeName()}))
	moveDisk(t, "larger", "", "fast")
	larger = isAt(t, "larger", first(), "fast")
	g.Expect(bytes.Equal(device(larger.VolumeName()), content)).To(BeTrue())
	g.Expect(first().volumes(t, "default")).To(BeEmpty())

	out, errOut, code := env.virtctl("disk", "export", "larger", "-o", filepath.Join(t.TempDir(), "x"), "--format", "qcow2")
	g.Expect(code).To(Equal(5), out)
	g.Expect(errOut).To(ContainSubstring("a pool of type logical has no volumes of format qcow2: export it as raw, and convert the file"))
	file := filepath.Join(t.TempDir(), "larger.raw")
	_, errOut, code = env.virtctl("disk", "export", "larger", "-o", file)
	g.Expect(code).To(Equal(0), errOut)
	exported, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(exported, content)).To(BeTrue())

	for _, disk := range []string{"larger", "lv"} {
		removeDisk(t, disk)
	}
	g.Expect(first().volumes(t, "fast")).To(BeEmpty())
}
