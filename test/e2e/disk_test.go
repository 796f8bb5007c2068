package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func newDisk(name, size string, changes ...func(*v1alpha1.VirtualDisk)) *v1alpha1.VirtualDisk {
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	quantity := resource.MustParse(size)
	d.Spec.Size = &quantity
	for _, f := range changes {
		f(d)
	}
	return d
}

func inPool(name string) func(*v1alpha1.VirtualDisk) {
	return func(d *v1alpha1.VirtualDisk) { d.Spec.PoolName = name }
}

func copyOf(name string) func(*v1alpha1.VirtualDisk) {
	return func(d *v1alpha1.VirtualDisk) {
		d.Spec.Source = &v1alpha1.DiskSource{Disk: &v1alpha1.DiskCloneSource{Name: name}}
	}
}

// withDisk gives a VM a VirtualDisk, as /dev/vdb of a guest that boots from
// another.
func withDisk(vm *v1alpha1.VirtualMachine, name string) *v1alpha1.VirtualMachine {
	vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: "data", DiskName: name, Serial: "data"})
	return vm
}

// createDisk makes the object and, when the test ends, has it and its volume
// removed.
func createDisk(t *testing.T, d *v1alpha1.VirtualDisk) {
	t.Helper()
	ensureNamespace(t, namespace)
	if err := env.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeDisk(t, d.Name) })
}

func removeDisk(t *testing.T, name string) {
	t.Helper()
	ctx := context.Background()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for deadline := time.Now().Add(bootTime); ; time.Sleep(100 * time.Millisecond) {
		err := env.Delete(ctx, d)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("VirtualDisk %s is not gone after %s: %v", name, bootTime, err)
			return
		}
	}
}

func getDisk(t *testing.T, name string) func() (*v1alpha1.VirtualDisk, error) {
	return func() (*v1alpha1.VirtualDisk, error) {
		d := &v1alpha1.VirtualDisk{}
		err := env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, d)
		return d, err
	}
}

// says is a disk's condition in a line, for matchers.
func says(kind string) func(*v1alpha1.VirtualDisk) string {
	return func(d *v1alpha1.VirtualDisk) string {
		c := meta.FindStatusCondition(d.Status.Conditions, kind)
		if c == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}
}

func isReady(d *v1alpha1.VirtualDisk) bool { return d.Status.Phase == v1alpha1.DiskReady }

// diskVolumes lists the volumes of VirtualDisks in a pool, marks among them.
func diskVolumes(t *testing.T, pool string) []string {
	t.Helper()
	env.virsh(t, "pool-refresh", pool)
	var out []string
	for _, line := range strings.Split(env.virsh(t, "vol-list", pool), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && strings.Contains(fields[0], v1alpha1.VolumeMark) {
			out = append(out, fields[0])
		}
	}
	return out
}

// resizeDisk edits the disk data, as a user does.
func resizeDisk(t *testing.T, size string) error {
	t.Helper()
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "data"}}
	return env.Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"size":"`+size+`"}}`)))
}

// onConsole has the guest's agent print what a command says.
func onConsole(t *testing.T, vm *v1alpha1.VirtualMachine, key, command string) {
	t.Helper()
	inGuest(t, vm, fmt.Sprintf(`echo "%s=$(%s)=" >/dev/ttyS0`, key, command))
}

// answers waits until the guest and its agent are up, and returns the VM.
func answers(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() error { return env.agentAnswers(vm.Status.Host.DomainUUID) }).WithTimeout(bootTime).Should(Succeed())
	return vm
}

const secret = "written-by-the-guest"

// TestDisk follows a disk from its making to its end, with real guests. Each step
// builds upon the one before.
func TestDisk(t *testing.T) {
	const name, other = "disked", "disked-too"
	t.Cleanup(func() { remove(t, name); remove(t, other) })
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"it has no volume before its VM has a host", func(t *testing.T) {
			g := NewWithT(t)
			create(t, withDisk(newAgentGuest(t, name, nil), "data")) // which waits
			g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(waitsFor, ContainSubstring("there is no VirtualDisk data in namespace")))
			if err := env.Create(t.Context(), newDisk("data", "64Mi")); err != nil {
				t.Fatal(err)
			}
		}},
		{"it is made where its VM is placed, and the guest writes it", func(t *testing.T) {
			g := NewWithT(t)
			vm := answers(t, name)
			d, err := getDisk(t, "data")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(says("Ready")(d)).To(HavePrefix("True"))
			g.Expect(d.Status.NodeName).To(Equal(vm.Status.Placement.NodeName))
			g.Expect(d.Status.ClaimedBy).To(Equal(&v1alpha1.DiskClaim{Name: name, UID: vm.UID}))
			g.Expect(diskVolumes(t, "default")).To(Equal([]string{d.VolumeName()}))
			inGuest(t, vm, "echo "+secret+" >/dev/vdb; sync; echo WRITTEN= >/dev/ttyS0")
			g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("WRITTEN="))
		}},
		{"a second writer waits", func(t *testing.T) {
			g := NewWithT(t)
			create(t, withDisk(newAgentGuest(t, other, nil), "data"))
			g.Eventually(get(t, other)).WithTimeout(settleTime).Should(WithTransform(waitsFor, ContainSubstring("VirtualDisk data has a single writer, VirtualMachine "+name)))
			remove(t, other)
		}},
		{"it grows under the guest, and never shrinks", func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(resizeDisk(t, "32Mi")).To(MatchError(ContainSubstring("spec.size must not become less than the 67108864 bytes that the disk has")))
			g.Expect(resizeDisk(t, "128Mi")).To(Succeed())
			g.Eventually(getDisk(t, "data")).WithTimeout(settleTime).Should(HaveField("Status.Capacity", int64(128<<20)))
			vm, err := get(t, name)()
			g.Expect(err).NotTo(HaveOccurred())
			onConsole(t, vm, "SECTORS", "cat /sys/block/vdb/size")
			g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("SECTORS=262144="))
		}},
		{"more than the pool has is refused, and nothing lost", func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(resizeDisk(t, "100Ti")).To(Succeed())
			g.Eventually(getDisk(t, "data")).WithTimeout(settleTime).Should(WithTransform(says("Sized"), ContainSubstring("False PoolFull: it cannot grow from 128Mi to 100Ti")))
			d, err := getDisk(t, "data")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(says("Ready")(d)).To(HavePrefix("True"))
			g.Expect(resizeDisk(t, "128Mi")).To(Succeed(), "what was asked for can be taken back")
			g.Eventually(getDisk(t, "data")).WithTimeout(settleTime).Should(WithTransform(says("Sized"), HavePrefix("True")))
		}},
		{"a restart keeps what is on it", func(t *testing.T) {
			g := NewWithT(t)
			setPower(t, name, v1alpha1.PowerStopped)
			g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
			setPower(t, name, v1alpha1.PowerRunning)
			onConsole(t, answers(t, name), "READ", "head -c 20 /dev/vdb")
			g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("READ=" + secret + "="))
		}},
		{"a copy is made when nobody writes", func(t *testing.T) {
			g := NewWithT(t)
			createDisk(t, newDisk("copy", "256Mi", copyOf("data")))
			create(t, withDisk(newAgentGuest(t, other, nil), "copy"))
			g.Eventually(getDisk(t, "copy")).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("False SourceInUse: VirtualMachine "+name)))
			g.Eventually(get(t, other)).WithTimeout(settleTime).Should(HaveField("Status.Host.Reason", v1alpha1.ReasonWaitingForDisks))
			setPower(t, name, v1alpha1.PowerStopped)
			vm := answers(t, other)
			onConsole(t, vm, "COPIED", "head -c 20 /dev/vdb; cat /sys/block/vdb/size")
			g.Eventually(func() string { return env.console(other) }).WithTimeout(settleTime).Should(ContainSubstring("COPIED=" + secret + "524288="))
			remove(t, other)
		}},
		{"it is kept while a VM has it", func(t *testing.T) {
			g := NewWithT(t)
			d, err := getDisk(t, "data")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(env.Delete(t.Context(), d)).To(Succeed())
			g.Eventually(getDisk(t, "data")).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("False InUse: VirtualMachine "+name+" has it")))
			g.Consistently(func() []string { return diskVolumes(t, "default") }).WithTimeout(stillTime).Should(ContainElement(d.VolumeName()))
			remove(t, name)
			g.Eventually(func() bool {
				_, err := getDisk(t, "data")()
				return apierrors.IsNotFound(err)
			}).WithTimeout(settleTime).Should(BeTrue())
			g.Expect(diskVolumes(t, "default")).NotTo(ContainElement(d.VolumeName()))
		}},
	} {
		if !t.Run(step.name, step.run) {
			for _, vm := range []string{name, other} {
				if vm, err := get(t, vm)(); err == nil {
					t.Logf("VM %s: %+v", vm.Name, vm.Status)
				}
				t.Logf("its console:\n%s", env.console(vm))
			}
			for _, disk := range []string{"data", "copy"} {
				if d, err := getDisk(t, disk)(); err == nil {
					t.Logf("disk %s: %+v", d.Name, d.Status)
				}
			}
			removeDisk(t, "data")
			t.FailNow()
		}
	}
}

// waitsFor is why a VM has no host, for matchers.
func waitsFor(vm *v1alpha1.VirtualMachine) string {
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled); c != nil {
		return c.Message
	}
	return ""
}

// atHome gives a disk its home as the scheduler does, without a VM.
func atHome(t *testing.T, name, pool string) {
	t.Helper()
	g := NewWithT(t)
	hosts := &v1alpha1.HypervisorList{}
	g.Expect(env.List(t.Context(), hosts)).To(Succeed())
	at := slices.IndexFunc(hosts.Items, func(h v1alpha1.Hypervisor) bool { return !h.Status.Simulated })
	d := &v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := fmt.Sprintf(`{"status":{"nodeName":%q,"poolName":%q}}`, hosts.Items[at].Name, pool)
	g.Expect(env.Status().Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
}

// TestDiskPoolIsFull fills a pool before and while a disk is made there.
func TestDiskPoolIsFull(t *testing.T) {
	g := NewWithT(t)
	const small = "/var/lib/libvirt/images/small"
	inside := func(args ...string) {
		t.Helper()
		out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(env.libvirtd(t)), "-m"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	inside("mkdir", "-p", small)
	inside("mount", "-t", "tmpfs", "-o", "size=320m", "small", small)
	env.virsh(t, "pool-define-as", "small", "dir", "--target", small)
	env.virsh(t, "pool-start", "small")
	t.Cleanup(func() {
		env.virsh(t, "pool-destroy", "small")
		env.virsh(t, "pool-undefine", "small")
		inside("umount", small)
	})
	hasSmall := func() bool {
		hosts := &v1alpha1.HypervisorList{}
		return env.List(t.Context(), hosts) == nil && slices.ContainsFunc(hosts.Items, func(h v1alpha1.Hypervisor) bool {
			return slices.ContainsFunc(h.Status.Pools, func(p v1alpha1.HostPool) bool { return p.Name == "small" && p.Allocatable > 256<<20 })
		})
	}
	g.Eventually(hasSmall).WithTimeout(settleTime).Should(BeTrue())

	const name = "full"
	t.Cleanup(func() { remove(t, name) })
	createDisk(t, newDisk("too-large", "400Mi", inPool("small")))
	create(t, withDisk(newAgentGuest(t, name, nil), "too-large"))
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(waitsFor, ContainSubstring("less than 400Mi left in storage pool small")))
	remove(t, name)

	// A source with 256 MiB of content, which takes a while to copy.
	createDisk(t, newDisk("source", "256Mi"))
	atHome(t, "source", "default")
	g.Eventually(getDisk(t, "source")).WithTimeout(settleTime).Should(WithTransform(isReady, BeTrue()))
	source, err := getDisk(t, "source")()
	g.Expect(err).NotTo(HaveOccurred())
	content := filepath.Join(t.TempDir(), "content")
	data := make([]byte, 256<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	g.Expect(os.WriteFile(content, data, 0o600)).To(Succeed())
	image := filepath.Join(env.dir, "host", "lib", "images", source.VolumeName())
	out, err := exec.Command("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", content, image).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))

	// Somebody fills the pool as soon as the copy has begun. The loop starts no process,
	// and the room is taken in one step: it has to be quicker than the copy.
	filler := exec.CommandContext(t.Context(), "nsenter", "-t", fmt.Sprint(env.libvirtd(t)), "-m", "sh", "-c", `
		cd "$0" || exit
		begun() {
			for file in *vd-*; do
				case "${file##*vd-}" in *[!0-9a-f]*) ;; *) return 0 ;; esac
			done
			return 1
		}
		until begun; do :; done
		room=320
		while [ $room -gt 0 ] && ! fallocate -l ${room}M foreign 2>/dev/null; do room=$((room - 16)); done`, small)
	g.Expect(filler.Start()).To(Succeed())
	createDisk(t, newDisk("squeezed", "256Mi", inPool("small"), copyOf("source")))
	atHome(t, "squeezed", "small")
	g.Eventually(getDisk(t, "squeezed")).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("became full, and what was begun was undone: free some there")))
	d, err := getDisk(t, "squeezed")()
	g.Expect(err).NotTo(HaveOccurred())
	t.Log(says("Ready")(d))
	g.Expect(filler.Wait()).To(Succeed())
	g.Eventually(func() []string { return diskVolumes(t, "small") }).WithTimeout(settleTime).Should(BeEmpty(), "something half-made is left")
	inside("rm", small+"/foreign")
	g.Eventually(getDisk(t, "squeezed")).WithTimeout(2 * time.Minute).Should(WithTransform(isReady, BeTrue()))
	g.Expect(diskVolumes(t, "small")).To(Equal([]string{d.VolumeName()}))
}

// TestDiskSurvivesKills kills the executor while it makes, copies and removes volumes.
// In the end there are the volumes of the objects that there are, and no others.
func TestDiskSurvivesKills(t *testing.T) {
	each := rounds(t, 5) // kills of each kind
	g := NewWithT(t)
	createDisk(t, newDisk("source", "64Mi"))
	atHome(t, "source", "default")
	g.Eventually(getDisk(t, "source")).WithTimeout(settleTime).Should(WithTransform(isReady, BeTrue()))
	source, err := getDisk(t, "source")()
	g.Expect(err).NotTo(HaveOccurred())
	killed := map[string]int{}
	kill := func(amid string) {
		time.Sleep(rand.N(250 * time.Millisecond))
		env.kill(t, "vm-executor-real")
		killed[amid]++
		g.Expect(env.up()).To(Succeed())
	}
	for i := range 2 * each {
		name, what := fmt.Sprintf("killed-%d", i), "create"
		var changes []func(*v1alpha1.VirtualDisk)
		if i%2 == 0 {
			what, changes = "clone", append(changes, copyOf("source"))
		}
		createDisk(t, newDisk(name, "64Mi", changes...))
		atHome(t, name, "default")
		kill(what)
		g.Eventually(getDisk(t, name)).WithTimeout(bootTime).Should(WithTransform(isReady, BeTrue()))
		d, err := getDisk(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		want := []string{d.VolumeName(), source.VolumeName()}
		slices.Sort(want)
		g.Expect(diskVolumes(t, "default")).To(ConsistOf(want))
		g.Expect(env.Delete(t.Context(), d)).To(Succeed())
		if i%4 < 2 {
			kill("delete")
		}
		g.Eventually(func() bool {
			_, err := getDisk(t, name)()
			return apierrors.IsNotFound(err)
		}).WithTimeout(bootTime).Should(BeTrue())
		g.Expect(diskVolumes(t, "default")).To(ConsistOf(source.VolumeName()))
	}
	t.Logf("killed amid %v", killed)
}
