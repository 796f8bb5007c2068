package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// snapTime is how long a snapshot or a restore may take, on a busy machine.
const snapTime = 3 * time.Minute

// snapped is the VM that TestSnapshots is about.
const snapped = "snapped"

func newSnapshot(of, name string, changes ...func(*v1alpha1.VirtualMachineSnapshotSpec)) *v1alpha1.VirtualMachineSnapshot {
	s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.VirtualMachineName = of
	for _, f := range changes {
		f(&s.Spec)
	}
	return s
}

func withMemory(s *v1alpha1.VirtualMachineSnapshotSpec) { s.Memory = v1alpha1.SnapshotMemoryInternal }

func quiesce(policy v1alpha1.QuiescePolicy) func(*v1alpha1.VirtualMachineSnapshotSpec) {
	return func(s *v1alpha1.VirtualMachineSnapshotSpec) { s.Quiesce = policy }
}

func getSnapshot(t *testing.T, name string) func() (*v1alpha1.VirtualMachineSnapshot, error) {
	return func() (*v1alpha1.VirtualMachineSnapshot, error) {
		s := &v1alpha1.VirtualMachineSnapshot{}
		err := env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s)
		return s, err
	}
}

// snapSays is a snapshot's condition in a line, for matchers.
func snapSays(kind string) func(*v1alpha1.VirtualMachineSnapshot) string {
	return func(s *v1alpha1.VirtualMachineSnapshot) string {
		if c := meta.FindStatusCondition(s.Status.Conditions, kind); c != nil {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
		return ""
	}
}

func snapPhase(s *v1alpha1.VirtualMachineSnapshot) v1alpha1.SnapshotPhase { return s.Status.Phase }

// takeSnapshot makes one, and returns it when it is whole.
func takeSnapshot(t *testing.T, s *v1alpha1.VirtualMachineSnapshot) *v1alpha1.VirtualMachineSnapshot {
	t.Helper()
	g := NewWithT(t)
	g.Expect(env.Create(t.Context(), s)).To(Succeed())
	g.Eventually(getSnapshot(t, s.Name)).WithTimeout(snapTime).Should(WithTransform(snapPhase, BeElementOf(v1alpha1.SnapshotReady, v1alpha1.SnapshotFailed)))
	out, err := getSnapshot(t, s.Name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(snapSays("Ready")(out)).To(HavePrefix("True"))
	return out
}

// removeSnapshot deletes one, and waits until nothing of it is left.
func removeSnapshot(t *testing.T, name string) {
	t.Helper()
	s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for deadline := time.Now().Add(snapTime); ; time.Sleep(200 * time.Millisecond) {
		err := env.Delete(context.Background(), s)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("VirtualMachineSnapshot %s is not gone after %s: %v", name, snapTime, err)
		}
	}
}

// askRestore creates the operation, and returns it when it is over.
func askRestore(t *testing.T, vm string, r v1alpha1.Restore) *v1alpha1.VirtualMachineOperation {
	t.Helper()
	g := NewWithT(t)
	op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: vm + "-restore-"}}
	op.Spec.VirtualMachineName, op.Spec.Type, op.Spec.Restore = vm, v1alpha1.OperationRestore, &r
	g.Expect(env.Create(t.Context(), op)).To(Succeed())
	g.Eventually(func() (bool, error) {
		err := env.Get(t.Context(), client.ObjectKeyFromObject(op), op)
		return op.Status.Finished(), err
	}).WithTimeout(snapTime).Should(BeTrue())
	return op
}

// restored has the VM that TestSnapshots is about restored.
func restored(t *testing.T, r v1alpha1.Restore) {
	t.Helper()
	op := askRestore(t, snapped, r)
	if op.Status.Phase != v1alpha1.OperationSucceeded {
		t.Fatalf("%s: %s", op.Status.Reason, op.Status.Message)
	}
}

// tags lists the snapshots of VirtualMachineSnapshots that are in a disk's file.
func tags(t *testing.T, disk string) []string {
	t.Helper()
	d, err := getDisk(t, disk)()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("qemu-img", "snapshot", "-U", "-l", filepath.Join(env.dir, "host", "lib", "images", d.Status.VolumeName)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := []string{}
	for _, line := range strings.Split(string(out), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], v1alpha1.SnapshotTagPrefix) {
			found = append(found, fields[1])
		}
	}
	slices.Sort(found)
	return found
}

// tagsOf are those that the objects say.
func tagsOf(t *testing.T) []string {
	t.Helper()
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if err := env.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for i := range list.Items {
		if list.Items[i].Status.Phase == v1alpha1.SnapshotReady {
			out = append(out, list.Items[i].Tag())
		}
	}
	slices.Sort(out)
	return out
}

// memories lists the files of guests' memories in the pool.
func memories(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(env.dir, "host", "lib", "images", "snapshot-*.memory"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// writes has the guest write a word to the beginning of its disk.
func writes(t *testing.T, vm *v1alpha1.VirtualMachine, word string) {
	t.Helper()
	said := "WROTE-" + word + "-" + fmt.Sprint(rand.Uint32())
	inGuest(t, vm, fmt.Sprintf("echo %-20s >/dev/vdb; sync; echo %s= >/dev/ttyS0", word, said))
	NewWithT(t).Eventually(func() string { return env.console(vm.Name) }).WithTimeout(settleTime).Should(ContainSubstring(said + "="))
}

// reads expects the word there, read from the disk itself.
func reads(t *testing.T, vm *v1alpha1.VirtualMachine, word string) {
	t.Helper()
	key := "READ-" + fmt.Sprint(rand.Uint32())
	onConsole(t, vm, key, "echo 3 >/proc/sys/vm/drop_caches; head -c 20 /dev/vdb | tr -d ' '")
	NewWithT(t).Eventually(func() string { return env.console(vm.Name) }).WithTimeout(settleTime).Should(ContainSubstring(key + "=" + word))
}

// count is what a guest that counts prints.
var count = regexp.MustCompile(`COUNT=(\d+)=`)

// TestSnapshot follows a VM through snapshots of its disk and its memory, and back.
// Each step builds upon the one before.
func TestSnapshot(t *testing.T) {
	const name, disk = snapped, "snapped-data"
	t.Cleanup(func() { remove(t, name) })
	vm := func(t *testing.T) *v1alpha1.VirtualMachine { return answers(t, name) }
	counted := func(t *testing.T) (n int) {
		said := count.FindAllStringSubmatch(env.console(name), -1)
		if len(said) == 0 {
			t.Fatal("the guest has not counted")
		}
		_, err := fmt.Sscan(said[len(said)-1][1], &n)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return n
	}
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"disks of a guest that runs, at rest by its agent", func(t *testing.T) {
			g := NewWithT(t)
			ensureNamespace(t, namespace)
			g.Expect(env.Create(t.Context(), newDisk(disk, "64Mi"))).To(Succeed())
			create(t, withDisk(newAgentGuest(t, name, nil), disk))
			writes(t, vm(t), "first")
			s := takeSnapshot(t, newSnapshot(name, "one", quiesce(v1alpha1.QuiesceRequire)))
			g.Expect(snapSays("Quiesced")(s)).To(HavePrefix("True ByAgent"))
			g.Expect(s.Status.Current).To(BeTrue())
			g.Expect(tags(t, disk)).To(Equal([]string{s.Tag()}))
			writes(t, vm(t), "second")
		}},
		{"a restore does not lose a guest that runs, unless asked", func(t *testing.T) {
			g := NewWithT(t)
			op := askRestore(t, name, v1alpha1.Restore{SnapshotName: "one"})
			g.Expect(op.Status.Reason).To(Equal(v1alpha1.ReasonWrongState))
			g.Expect(op.Status.Message).To(ContainSubstring("restore.discardRunning"))
			reads(t, vm(t), "second")
		}},
		{"the first content is back", func(t *testing.T) {
			restored(t, v1alpha1.Restore{SnapshotName: "one", DiscardRunning: true})
			reads(t, vm(t), "first")
		}},
		{"with memory, a counter goes back", func(t *testing.T) {
			g := NewWithT(t)
			inGuest(t, vm(t), "n=0; while true; do n=$((n+1)); echo COUNT=$n= >/dev/ttyS0; sleep 1; done")
			g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("COUNT=3="))
			before := vm(t)
			s := takeSnapshot(t, newSnapshot(name, "two", withMemory))
			at := counted(t)
			g.Expect(s.Status.ParentName).To(Equal("one"))
			g.Expect(s.Status.MemoryBytes).To(BeNumerically(">", 10<<20))
			g.Expect(snapSays("Quiesced")(s)).To(HavePrefix("False MemoryIncluded"))
			g.Expect(memories(t)).To(HaveLen(1))
			t.Logf("%d bytes of memory", s.Status.MemoryBytes)
			writes(t, vm(t), "third")
			g.Eventually(func() int { return counted(t) }).WithTimeout(settleTime).Should(BeNumerically(">", at+10))
			booted := strings.Count(env.console(name), banner)
			restored(t, v1alpha1.Restore{SnapshotName: "two", DiscardRunning: true})
			after := vm(t)
			g.Eventually(func() int { return counted(t) }).WithTimeout(settleTime).Should(BeNumerically("<", at+8))
			n := counted(t)
			g.Eventually(func() int { return counted(t) }).WithTimeout(settleTime).Should(BeNumerically(">", n), "it stands still")
			g.Expect(strings.Count(env.console(name), banner)).To(Equal(booted), "the guest has booted")
			g.Expect(after.Status.Host.DomainUUID).To(Equal(before.Status.Host.DomainUUID))
			reads(t, after, "first")
		}},
		{"a stopped VM, and a tree", func(t *testing.T) {
			g := NewWithT(t)
			writes(t, vm(t), "fourth")
			setPower(t, name, v1alpha1.PowerStopped)
			g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
			s := takeSnapshot(t, newSnapshot(name, "three"))
			g.Expect(snapSays("Quiesced")(s)).To(HavePrefix("True NotRunning"))
			g.Expect(s.Status.ParentName).To(Equal("two"))
			op := askRestore(t, name, v1alpha1.Restore{SnapshotName: "two"})
			g.Expect(op.Status.Message).To(ContainSubstring("spec.powerState is Stopped"))
			restored(t, v1alpha1.Restore{SnapshotName: "one"})
			g.Expect(get(t, name)()).To(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
			four := takeSnapshot(t, newSnapshot(name, "four"))
			g.Expect(four.Status.ParentName).To(Equal("one"))
			g.Expect(tags(t, disk)).To(Equal(tagsOf(t)))
		}},
		{"deleting one takes nothing from another", func(t *testing.T) {
			g := NewWithT(t)
			removeSnapshot(t, "one")
			g.Expect(tags(t, disk)).To(Equal(tagsOf(t)))
			g.Expect(getSnapshot(t, "two")()).To(HaveField("Status.ParentName", ""))
			g.Expect(getSnapshot(t, "four")()).To(HaveField("Status.ParentName", ""))
			restored(t, v1alpha1.Restore{SnapshotName: "three"})
			setPower(t, name, v1alpha1.PowerRunning)
			reads(t, vm(t), "fourth")
			restored(t, v1alpha1.Restore{SnapshotName: "four", DiscardRunning: true})
			reads(t, vm(t), "first")
			removeSnapshot(t, "three") // under the guest
			removeSnapshot(t, "two")
			g.Expect(memories(t)).To(BeEmpty())
			g.Expect(tags(t, disk)).To(Equal(tagsOf(t)))
		}},
		{"without an agent that answers", func(t *testing.T) {
			g := NewWithT(t)
			inGuest(t, vm(t), "kill -STOP $(pidof qemu-ga)")
			uuid := vm(t).Status.Host.DomainUUID
			g.Eventually(func() error { return env.agentAnswers(uuid) }).WithTimeout(settleTime).ShouldNot(Succeed())
			g.Expect(env.Create(t.Context(), newSnapshot(name, "strict", quiesce(v1alpha1.QuiesceRequire)))).To(Succeed())
			g.Eventually(getSnapshot(t, "strict")).WithTimeout(snapTime).Should(WithTransform(snapSays("Ready"), HavePrefix("False NotQuiesced")))
			s := takeSnapshot(t, newSnapshot(name, "loose"))
			g.Expect(snapSays("Quiesced")(s)).To(HavePrefix("False AgentFailed"))
			t.Log(snapSays("Quiesced")(s))
			removeSnapshot(t, "strict")
			removeSnapshot(t, "loose")
		}},
		{"what cannot be is refused at once", func(t *testing.T) {
			g := NewWithT(t)
			for name, test := range map[string]struct {
				snapshot *v1alpha1.VirtualMachineSnapshot
				want     string
			}{
				"no VM":    {newSnapshot("nobody", "of-nobody"), "False VirtualMachineNotFound"},
				"external": {newSnapshot(name, "external", func(s *v1alpha1.VirtualMachineSnapshotSpec) { s.Memory = v1alpha1.SnapshotMemoryExternal }), "False UnsupportedMemory"},
			} {
				g.Expect(env.Create(t.Context(), test.snapshot)).To(Succeed(), name)
				g.Eventually(getSnapshot(t, test.snapshot.Name)).WithTimeout(settleTime).Should(WithTransform(snapSays("Ready"), HavePrefix(test.want)))
				removeSnapshot(t, test.snapshot.Name)
			}
			op := askRestore(t, name, v1alpha1.Restore{SnapshotName: "none", DiscardRunning: true})
			g.Expect(op.Status.Reason).To(Equal(v1alpha1.ReasonSnapshotUnusable))
		}},
		{"the VM goes, and its disk and the snapshot stay", func(t *testing.T) {
			g := NewWithT(t)
			remove(t, name)
			d, err := getDisk(t, disk)()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(tags(t, disk)).To(Equal(tagsOf(t)))
			g.Expect(tagsOf(t)).To(HaveLen(1))
			g.Expect(env.Delete(t.Context(), d)).To(Succeed())
			g.Eventually(getDisk(t, disk)).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("False InUse: VirtualMachineSnapshot four is inside it")))
			removeSnapshot(t, "four")
			g.Eventually(func() bool {
				_, err := getDisk(t, disk)()
				return apierrors.IsNotFound(err)
			}).WithTimeout(bootTime).Should(BeTrue())
		}},
	} {
		if !t.Run(step.name, step.run) {
			logSnapshots(t)
			if vm, err := get(t, name)(); err == nil {
				t.Logf("VM %s: %+v", vm.Name, vm.Status)
			}
			t.Logf("its console:\n%s", env.console(name))
			t.FailNow()
		}
	}
}

func logSnapshots(t *testing.T) {
	t.Helper()
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if env.List(t.Context(), list, client.InNamespace(namespace)) == nil {
		for i := range list.Items {
			t.Logf("snapshot %s: %+v", list.Items[i].Name, list.Items[i].Status)
		}
	}
}

// startedAt is when the VM's guest was last started, the zero time if it never was.
func startedAt(t *testing.T, name string) time.Time {
	t.Helper()
	vm, err := get(t, name)()
	if err != nil || vm.Status.Host == nil || vm.Status.Host.StartedAt == nil {
		return time.Time{}
	}
	return vm.Status.Host.StartedAt.Time
}

// TestSnapshotSurvivesKills kills the executor while it makes, restores and removes
// snapshots. In the end the snapshots in the disk are those of the objects.
func TestSnapshotSurvivesKills(t *testing.T) {
	const name, disk = "snapkilled", "snapkilled-data"
	kills := rounds(t, 5) // of each kind
	g := NewWithT(t)
	createDisk(t, newDisk(disk, "64Mi"))
	t.Cleanup(func() { remove(t, name) })
	create(t, withDisk(newAgentGuest(t, name, nil), disk))
	answers(t, name)
	t.Cleanup(func() {
		if t.Failed() {
			logSnapshots(t)
		}
	})
	killed, lost := map[string]int{}, 0
	kill := func(what string, within time.Duration) {
		time.Sleep(rand.N(within))
		env.kill(t, "vm-executor-real")
		killed[what]++
		g.Expect(env.up()).To(Succeed())
	}
	agree := func() {
		t.Helper()
		g.Expect(tags(t, disk)).To(Equal(tagsOf(t)))
	}
	keep := takeSnapshot(t, newSnapshot(name, "keep"))
	for i := range kills {
		with := i%2 == 0
		s := newSnapshot(name, fmt.Sprintf("killed-%d", i))
		if with {
			withMemory(&s.Spec)
		}
		before := startedAt(t, name)
		g.Expect(env.Create(t.Context(), s)).To(Succeed())
		kill("create", 1500*time.Millisecond)
		g.Eventually(getSnapshot(t, s.Name)).WithTimeout(snapTime).Should(WithTransform(snapPhase, BeElementOf(v1alpha1.SnapshotReady, v1alpha1.SnapshotFailed)))
		if made, err := getSnapshot(t, s.Name)(); with && err == nil && made.Status.Phase == v1alpha1.SnapshotFailed {
			// QEMU could not have the guest go on, which has begun anew: that is seldom
			// and told, and nothing of the snapshot is left.
			g.Eventually(func() time.Time { return startedAt(t, name) }).WithTimeout(settleTime).Should(BeTemporally(">", before), snapSays(v1alpha1.ConditionSnapshotReady)(made))
			t.Logf("the guest was lost: %s", snapSays(v1alpha1.ConditionSnapshotReady)(made))
			lost++
			removeSnapshot(t, s.Name)
			agree()
			g.Expect(memories(t)).To(BeEmpty())
			g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
			continue
		}
		g.Expect(getSnapshot(t, s.Name)()).To(WithTransform(snapPhase, Equal(v1alpha1.SnapshotReady)))
		agree()
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))

		op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: name + "-restore-"}}
		op.Spec.VirtualMachineName, op.Spec.Type = name, v1alpha1.OperationRestore
		op.Spec.Restore = &v1alpha1.Restore{SnapshotName: s.Name, DiscardRunning: true}
		g.Expect(env.Create(t.Context(), op)).To(Succeed())
		kill("restore", 2*time.Second)
		g.Eventually(func() (v1alpha1.OperationPhase, error) {
			err := env.Get(t.Context(), client.ObjectKeyFromObject(op), op)
			return op.Status.Phase, err
		}).WithTimeout(snapTime).Should(Equal(v1alpha1.OperationSucceeded), func() string { return op.Status.Message })
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		g.Eventually(getSnapshot(t, s.Name)).WithTimeout(settleTime).Should(And(
			WithTransform(snapPhase, Equal(v1alpha1.SnapshotReady)), HaveField("Status.Current", true), HaveField("Status.RestoredBy", op.UID)))
		agree()

		live, err := getSnapshot(t, s.Name)()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(env.Delete(t.Context(), live)).To(Succeed())
		kill("delete", 400*time.Millisecond)
		g.Eventually(func() bool {
			_, err := getSnapshot(t, s.Name)()
			return apierrors.IsNotFound(err)
		}).WithTimeout(snapTime).Should(BeTrue())
		agree()
		g.Expect(tagsOf(t)).To(Equal([]string{keep.Tag()}))
		g.Expect(memories(t)).To(BeEmpty())
		t.Logf("killed %v", killed)
	}
	g.Expect(lost).To(BeNumerically("<=", max(1, kills/4)), "guests were lost")
	removeSnapshot(t, keep.Name)
	g.Expect(tags(t, disk)).To(BeEmpty())
	g.Expect(strings.TrimSpace(env.virsh(t, "list", "--all", "--name"))).NotTo(ContainSubstring("domus-scratch"))
}

// TestSnapshotWithACDROM takes snapshots with memory of a guest that has a medium in its
// drive, and then none, and goes back to each while the guest runs.
func TestSnapshotWithACDROM(t *testing.T) {
	const name, disk, medium = "snapdrive", "snapdrive-data", "snapdrive-cd"
	g := NewWithT(t)
	createDisk(t, newDisk(disk, "64Mi"))
	createDisk(t, newDisk(medium, "8Mi", func(d *v1alpha1.VirtualDisk) { d.Spec.AccessMode = v1alpha1.DiskSharedReadOnly }))
	t.Cleanup(func() { remove(t, name) })
	drive := func(disk string) v1alpha1.VirtualMachineDisk {
		return v1alpha1.VirtualMachineDisk{Name: "cd", DiskName: disk, Type: v1alpha1.DeviceCDROM, Bus: v1alpha1.BusSCSI}
	}
	vm := newAgentGuest(t, name, map[string]any{"controllers": []any{map[string]any{"type": "scsi", "model": "virtio-scsi"}}})
	withDisk(vm, disk)
	data := vm.Spec.Disks[0]
	vm.Spec.Disks = append(vm.Spec.Disks, drive(medium))
	create(t, vm)
	answers(t, name)
	t.Cleanup(func() {
		if t.Failed() {
			logSnapshots(t)
		}
	})
	for _, in := range []string{medium, ""} {
		setDisks(t, name, data, drive(in))
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(isAsSpec, BeTrue()))
		s := takeSnapshot(t, newSnapshot(name, "with-"+map[bool]string{true: "none", false: "one"}[in == ""], withMemory))
		op := askRestore(t, name, v1alpha1.Restore{SnapshotName: s.Name, DiscardRunning: true})
		g.Expect(op.Status.Phase).To(Equal(v1alpha1.OperationSucceeded), op.Status.Message)
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(guestDisks, ContainElement("cd="+in))))
		answers(t, name)
	}
	removeSnapshot(t, "with-one")
	removeSnapshot(t, "with-none")
	g.Expect(memories(t)).To(BeEmpty())
}
