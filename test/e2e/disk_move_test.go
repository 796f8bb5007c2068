package e2e

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func raw(d *v1alpha1.VirtualDisk) { d.Spec.Format = v1alpha1.DiskRaw }

// fill writes random content, and holes, into a raw volume of pool default.
func fill(t *testing.T, file string, mib int) []byte {
	t.Helper()
	content := make([]byte, mib<<20)
	for at := 0; at < len(content); at += 3 << 20 {
		for i := at; i < min(at+2<<20, len(content)); i++ {
			content[i] = byte(rand.Uint32())
		}
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for at := 0; at < len(content); at += 3 << 20 {
		if _, err := f.WriteAt(content[at:min(at+2<<20, len(content))], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

// TestDiskMove moves disks that no guest has, and one that a guest has written.
func TestDiskMove(t *testing.T) {
	twoHosts(t)
	t.Run("a raw one, with its holes", func(t *testing.T) {
		g := NewWithT(t)
		createDisk(t, newDisk("moved", "96Mi", raw))
		d := atHomeOn(t, "moved", first(), "default")
		content := fill(t, first().image(d.VolumeName()), 96)
		began := time.Now()
		moveDisk(t, "moved", second().node, "default")
		isAt(t, "moved", second(), "default")
		t.Logf("96 MiB moved in %s", time.Since(began).Round(time.Millisecond))
		got, err := os.ReadFile(second().image(d.VolumeName()))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(got, content)).To(BeTrue(), "it is not what it was")
		out, err := exec.Command("du", "--block-size=1M", second().image(d.VolumeName())).Output()
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("it takes %s", out)
		g.Expect(first().volumes(t, "default")).To(BeEmpty())
		g.Expect(second().volumes(t, "default")).To(Equal([]string{d.VolumeName()}))
	})
	t.Run("to where there is no room, or no pool, or no host", func(t *testing.T) {
		g := NewWithT(t)
		second().inside(t, "mkdir", "-p", "/var/lib/libvirt/tight")
		second().inside(t, "mount", "-t", "tmpfs", "-o", "size=64m", "tight", "/var/lib/libvirt/tight")
		second().virsh(t, "pool-create-as", "tight", "dir", "--target", "/var/lib/libvirt/tight")
		t.Cleanup(func() { second().virsh(t, "pool-destroy", "tight") })
		createDisk(t, newDisk("stays", "96Mi", raw))
		d := atHomeOn(t, "stays", first(), "default")
		g.Eventually(func() bool {
			hv, err := second().hypervisor()
			return err == nil && len(hv.Status.Pools) == 2
		}).WithTimeout(2 * time.Minute).Should(BeTrue())
		for _, wrong := range []struct{ node, pool, says string }{
			{second().node, "tight", "False PoolFull: storage pool tight of host real-2 has"},
			{second().node, "none", "False PoolMissing: host real-2 has no active storage pool none: define and start it there"},
			{"nowhere", "default", "False HostMissing: there is no host nowhere"},
		} {
			moveDisk(t, "stays", wrong.node, wrong.pool)
			g.Eventually(getDisk(t, "stays")).WithTimeout(settleTime).Should(WithTransform(says(v1alpha1.ConditionDiskInPlace), ContainSubstring(wrong.says)))
		}
		moveDisk(t, "stays", "", "default")
		isAt(t, "stays", first(), "default")
		g.Expect(first().volumes(t, "default")).To(Equal([]string{d.VolumeName()}))
		g.Expect(second().volumes(t, "tight")).To(BeEmpty())
	})
	t.Run("one that a guest has written, and has", func(t *testing.T) {
		g := NewWithT(t)
		const name = "mover"
		createDisk(t, newDisk("written", "64Mi", func(d *v1alpha1.VirtualDisk) { d.Spec.NodeName = first().node }))
		t.Cleanup(func() { remove(t, name) })
		vm := withDisk(newAgentGuest(t, name, nil), "written")
		vm.Spec.WhenStopped = v1alpha1.SlotRelease
		create(t, vm)
		vm = answers(t, name)
		inGuest(t, vm, "echo "+secret+" >/dev/vdb; sync; echo WRITTEN= >/dev/ttyS0")
		g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("WRITTEN="))
		moveDisk(t, "written", second().node, "default")
		g.Eventually(getDisk(t, "written")).WithTimeout(settleTime).Should(WithTransform(says(v1alpha1.ConditionDiskInPlace),
			ContainSubstring("False InUse: VirtualMachine "+name+" has it: it is moved when that is stopped with whenStopped Release")))
		setPower(t, name, v1alpha1.PowerStopped)
		isAt(t, "written", second(), "default")
		setPower(t, name, v1alpha1.PowerRunning)
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(HaveField("Status.Placement.NodeName", second().node))
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		vm, err := get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		uuid := vm.Status.Host.DomainUUID
		ask := func(command string) error {
			uri := "qemu+unix:///system?socket=" + filepath.Join(second().dir, "host", "run", "libvirt-sock")
			return exec.Command("virsh", "--quiet", "--connect", uri, "qemu-agent-command", "--timeout", "5", uuid, command).Run()
		}
		g.Eventually(func() error { return ask(`{"execute":"guest-ping"}`) }).WithTimeout(bootTime).Should(Succeed())
		g.Expect(ask(`{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","sleep 1; echo READ=$(head -c 20 /dev/vdb)= >/dev/ttyS0"]}}`)).To(Succeed())
		g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("READ=" + secret + "="))
	})
}

// TestDiskMoveSurvivesKills kills the executors of both hosts while a disk goes to
// and fro. In the end it is where it is wanted, whole, and there alone.
func TestDiskMoveSurvivesKills(t *testing.T) {
	moves := 2 * rounds(t, 2)
	twoHosts(t)
	g := NewWithT(t)
	createDisk(t, newDisk("hunted", "96Mi", raw))
	d := atHomeOn(t, "hunted", first(), "default")
	content := fill(t, first().image(d.VolumeName()), 96)
	at, other := first(), second()
	killed := 0
	for range moves {
		moveDisk(t, "hunted", other.node, "default")
		for range 2 {
			time.Sleep(rand.N(1500 * time.Millisecond))
			env.kill(t, []realHost{at, other}[rand.IntN(2)].executor)
			killed++
			g.Expect(env.up()).To(Succeed())
		}
		isAt(t, "hunted", other, "default")
		got, err := os.ReadFile(other.image(d.VolumeName()))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(got, content)).To(BeTrue(), "it is not what it was")
		g.Eventually(func() []string { return at.volumes(t, "default") }).WithTimeout(settleTime).Should(BeEmpty())
		g.Eventually(func() []string { return other.volumes(t, "default") }).WithTimeout(settleTime).Should(Equal([]string{d.VolumeName()}))
		at, other = other, at
	}
	t.Logf("%d moves, killed %d times", moves, killed)
}

// TestDiskShared has two hosts with one store. Without a client of NFS in the
// kernel a tmpfs that both see stands for it, mounted where libvirt would mount it
// and called as it would call it.
func TestDiskShared(t *testing.T) {
	twoHosts(t)
	g := NewWithT(t)
	const at = "/var/lib/libvirt/shared"
	store := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512m", "server:/export", store).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	t.Cleanup(func() { _ = exec.Command("umount", store).Run() })
	document := filepath.Join(t.TempDir(), "pool.xml")
	g.Expect(os.WriteFile(document, []byte(`<pool type='netfs'><name>shared</name><source><host name='server'/><dir path='/export'/><format type='nfs'/></source><target><path>`+at+`</path></target></pool>`), 0o600)).To(Succeed())
	t.Log("the store is a tmpfs that both hosts see: this kernel may have no NFS")
	for _, h := range []realHost{first(), second()} {
		h.mount(t, store, at)
		h.virsh(t, "pool-define", document)
		h.virsh(t, "pool-start", "shared")
		t.Cleanup(func() {
			h.virsh(t, "pool-destroy", "shared")
			h.virsh(t, "pool-undefine", "shared")
		})
	}
	for _, h := range []realHost{first(), second()} {
		g.Eventually(func() bool {
			hv, err := h.hypervisor()
			for _, p := range hv.Status.Pools {
				if err == nil && p.Name == "shared" && p.Type == "netfs" && p.Store == "netfs://server/export" {
					return true
				}
			}
			return false
		}).WithTimeout(2 * time.Minute).Should(BeTrue())
	}
	const one, two = "sharer-1", "sharer-2"
	createDisk(t, newDisk("common", "64Mi", inPool("shared")))
	t.Cleanup(func() { remove(t, one); remove(t, two) })
	on := func(h realHost, name string) *v1alpha1.VirtualMachine {
		vm := withDisk(newAgentGuest(t, name, nil), "common")
		vm.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": h.node}
		vm.Spec.WhenStopped = v1alpha1.SlotRelease
		return vm
	}
	create(t, on(first(), one))
	vm := answers(t, one)
	inGuest(t, vm, "echo "+secret+" >/dev/vdb; sync; echo WRITTEN= >/dev/ttyS0")
	g.Eventually(func() string { return env.console(one) }).WithTimeout(settleTime).Should(ContainSubstring("WRITTEN="))
	create(t, on(second(), two))
	g.Eventually(get(t, two)).WithTimeout(settleTime).Should(WithTransform(waitsFor, ContainSubstring("VirtualDisk common has a single writer, VirtualMachine "+one)))
	setPower(t, one, v1alpha1.PowerStopped)
	g.Eventually(get(t, two)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	d, err := getDisk(t, "common")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.Status.Home()).To(Equal(v1alpha1.DiskHome{NodeName: second().node, PoolName: "shared", Store: "netfs://server/export"}))
	g.Expect(d.Status.ClaimedBy.Name).To(Equal(two))
	content, err := os.ReadFile(filepath.Join(store, d.VolumeName()))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Contains(content, []byte(secret))).To(BeTrue())
	entries, err := filepath.Glob(filepath.Join(store, "*"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(HaveLen(1), "one volume, and no mark")
}
