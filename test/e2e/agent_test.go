package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// network is an interface behind QEMU's own NAT, which gives the guest the
// address natAddress.
var network = map[string]any{"source": map[string]any{"user": map[string]any{}}, "model": map[string]any{"type": "virtio"}}

const natAddress = "10.0.2.15"

// newAgentGuest is a VM that boots the guest image with the agent, and has more
// devices.
func newAgentGuest(t *testing.T, name string, devices map[string]any) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := newGuest(t, name)
	vm.Spec.Domain = withDevices(t, vm.Spec.Domain, devices)
	vm.Spec.Domain.Raw = []byte(strings.ReplaceAll(string(vm.Spec.Domain.Raw), "demo.tiny.qcow2", "demo.agent.qcow2"))
	return vm
}

// connected is the VM's condition, for matchers; "" when it is absent.
func connected(vm *v1alpha1.VirtualMachine) metav1.ConditionStatus {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionAgentConnected)
	if c == nil {
		return ""
	}
	return c.Status
}

// inGuest has the guest's agent run a command of the shell, a moment later: the
// agent answers before it is done.
func inGuest(t *testing.T, vm *v1alpha1.VirtualMachine, command string) {
	t.Helper()
	request, err := json.Marshal(map[string]any{
		"execute":   "guest-exec",
		"arguments": map[string]any{"path": "/bin/sh", "arg": []string{"-c", "sleep 1; " + command}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hostOf(t, vm).virsh(t, "qemu-agent-command", vm.Status.Host.DomainUUID, string(request))
}

// events counts the events of a VM by their reason, each of a series, and has
// their notes.
func events(t *testing.T, name string) func() (map[string]string, error) {
	return func() (map[string]string, error) {
		list := &corev1.EventList{}
		if err := env.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
		notes := map[string]string{}
		for _, e := range list.Items {
			if e.InvolvedObject.Kind == "VirtualMachine" && e.InvolvedObject.Name == name {
				notes[e.Reason] = e.Message
			}
		}
		return notes, nil
	}
}

// TestAGuestSaysWhatItIs follows a real guest and its agent. Each step builds
// upon the one before.
func TestAGuestSaysWhatItIs(t *testing.T) {
	const name = "agent"
	t.Cleanup(func() { remove(t, name) })
	for _, step := range []struct {
		name string
		run  func(t *testing.T, name string)
	}{
		{"its name, system and addresses", saysWhatItIs},
		{"nothing is written while nothing changes", writesNothing},
		{"it reboots itself", rebootsItself},
		{"its agent is killed", losesItsAgent},
		{"an agent that hangs delays nothing", hasAHungAgent},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, name) }) {
			if vm, err := get(t, name)(); err == nil {
				t.Logf("the VM's status: %+v, guest: %+v", vm.Status, vm.Status.Guest)
			}
			t.Logf("its console:\n%s", env.console(name))
			t.FailNow()
		}
	}
}

func saysWhatItIs(t *testing.T, name string) {
	g := NewWithT(t)
	create(t, newAgentGuest(t, name, map[string]any{"interfaces": []any{network}}))
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(connected(vm)).To(Equal(metav1.ConditionUnknown), "its agent cannot be there yet")
	g.Expect(vm.Status.Guest).To(BeNil())

	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(addresses, ContainSubstring(natAddress)))
	vm, err = get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(connected(vm)).To(Equal(metav1.ConditionTrue))
	guest := vm.Status.Guest
	g.Expect(guest.Hostname).To(Equal("guest-" + strings.Split(vm.Status.Host.DomainUUID, "-")[0]))
	g.Expect(guest.OS).NotTo(BeNil())
	g.Expect(guest.OS.ID).To(Equal("domus-guest"))
	g.Expect(guest.OS.Name).To(Equal("Domus guest 1 (with an agent)"))
	g.Expect(guest.OS.Version).To(Equal("1"))
	g.Expect(guest.OS.Kernel).NotTo(BeEmpty())
	g.Expect(guest.Interfaces).To(HaveLen(1), "the loopback is left out")
	g.Expect(guest.Interfaces[0].Name).To(Equal("eth0"))
	g.Expect(guest.Interfaces[0].MAC).To(Equal(env.domain(t, vm.Status.Host.DomainUUID).Devices.Interfaces[0].MAC.Address))
	g.Expect(guest.Interfaces[0].Addresses).To(ContainElement(natAddress))
}

func addresses(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Guest == nil {
		return ""
	}
	return vm.Status.Guest.Addresses
}

func writesNothing(t *testing.T, name string) {
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Consistently(get(t, name)).WithTimeout(4 * stillTime).Should(HaveField("ResourceVersion", vm.ResourceVersion))
}

func rebootsItself(t *testing.T, name string) {
	g := NewWithT(t)
	before, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	inGuest(t, before, "reboot -f")
	g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).Should(Equal(2))
	g.Eventually(events(t, name)).WithTimeout(settleTime).Should(HaveKeyWithValue("GuestRebooted", "The guest rebooted"))
	// Its agent is away while it boots, for long enough to be told or not.
	g.Eventually(func() error { return env.agentAnswers(before.Status.Host.DomainUUID) }).WithTimeout(bootTime).Should(Succeed())
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(
		WithTransform(connected, Equal(metav1.ConditionTrue)), WithTransform(addresses, ContainSubstring(natAddress))))
	after, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(after.Status.Host.StartedAt).To(Equal(before.Status.Host.StartedAt), "it was started again from outside")
}

// agentAnswers asks a guest's agent whether it is there.
func (c *cluster) agentAnswers(uuid string) error {
	uri := "qemu+unix:///system?socket=" + filepath.Join(c.dir, "host", "run", "libvirt-sock")
	out, err := exec.Command("virsh", "--quiet", "--connect", uri, "qemu-agent-command", "--timeout", "2", uuid, `{"execute":"guest-ping"}`).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func losesItsAgent(t *testing.T, name string) {
	g := NewWithT(t)
	before, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	// It comes back after a while, for the next step.
	inGuest(t, before, "killall qemu-ga; sleep 30; exec /etc/agent")
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(connected, Equal(metav1.ConditionFalse)))
	after, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	// It may have said more, or less, just before it was killed: an address of IPv6
	// takes a while after a boot.
	g.Expect(after.Status.Guest).NotTo(BeNil(), "what it said stays")
	g.Expect(after.Status.Guest.Hostname).To(Equal(before.Status.Guest.Hostname))
	g.Expect(after.Status.Guest.OS).To(Equal(before.Status.Guest.OS))
	g.Expect(addresses(after)).To(ContainSubstring(natAddress))
	g.Expect(after.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(connected, Equal(metav1.ConditionTrue)))
}

func hasAHungAgent(t *testing.T, name string) {
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	inGuest(t, vm, "killall -STOP qemu-ga")
	g.Eventually(func() error { return env.agentAnswers(vm.Status.Host.DomainUUID) }).WithTimeout(settleTime).ShouldNot(Succeed())
	// An executor asks an agent seldom, and at once when it is started.
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(connected, Equal(metav1.ConditionFalse)))

	setPower(t, name, v1alpha1.PowerStopped)
	began := time.Now()
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	t.Logf("it was switched off within %s", time.Since(began).Round(100*time.Millisecond))
	g.Expect(env.console(name)).To(ContainSubstring(farewell), "it was switched off, not shut down")
	after, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(after.Status.Guest).To(BeNil())
	g.Expect(connected(after)).To(BeEmpty())
}

// fireWatchdog has a guest set the time of its i6300esb and start it. Its kernel
// has no driver for it: registers 0x60 (count microseconds) and 0x68 (enable) of
// its configuration space do.
const fireWatchdog = `for d in /sys/bus/pci/devices/*; do
	[ "$(cat $d/device)" = 0x25ab ] || continue
	printf '\004\000' | dd of=$d/config bs=2 seek=$((0x60 / 2)) conv=notrunc
	printf '\002' | dd of=$d/config bs=1 seek=$((0x68)) conv=notrunc
done`

// TestWhatHappensInAGuestIsTold has a guest's disk fail, its watchdog fire and its
// kernel panic.
func TestWhatHappensInAGuestIsTold(t *testing.T) {
	g := NewWithT(t)
	const name = "troubled"
	t.Cleanup(func() { remove(t, name) })
	breakVolume(t, "demo.broken.qcow2")
	vm := newAgentGuest(t, name, map[string]any{
		"watchdogs": []any{map[string]any{"model": "i6300esb", "action": "reset"}},
		"panics":    []any{map[string]any{"model": "isa"}},
	})
	vm.Spec.Domain = withDevices(t, vm.Spec.Domain, map[string]any{"disks": append(disks(t, vm), map[string]any{
		"device": "disk",
		"driver": map[string]any{"name": "qemu", "type": "qcow2"},
		"source": map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.broken.qcow2"}},
		"target": map[string]any{"dev": "vdb", "bus": "virtio"},
	})})
	create(t, vm)
	answers := func() {
		t.Helper()
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		var err error
		vm, err = get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		g.Eventually(func() error { return env.agentAnswers(vm.Status.Host.DomainUUID) }).WithTimeout(bootTime).Should(Succeed())
	}
	answers()

	inGuest(t, vm, "dd if=/dev/vdb of=/dev/null bs=64k")
	g.Eventually(events(t, name)).WithTimeout(settleTime).Should(HaveKeyWithValue("DiskError", And(
		ContainSubstring("Disk virtio-disk1 could not be read or written"), ContainSubstring("the guest is told"))))

	inGuest(t, vm, fireWatchdog)
	g.Eventually(events(t, name)).WithTimeout(settleTime).Should(HaveKeyWithValue("WatchdogFired", ContainSubstring("the guest is reset")))
	g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).Should(Equal(2))
	answers()

	inGuest(t, vm, "echo c >/proc/sysrq-trigger")
	g.Eventually(events(t, name)).WithTimeout(settleTime).Should(HaveKeyWithValue("GuestPanicked", "The guest crashed: its kernel panicked"))
}

// disks are those of a VM's domain.
func disks(t *testing.T, vm *v1alpha1.VirtualMachine) []any {
	t.Helper()
	var doc struct {
		Devices struct {
			Disks []any `json:"disks"`
		} `json:"devices"`
	}
	if err := json.Unmarshal(vm.Spec.Domain.Raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Devices.Disks
}

// breakVolume makes a volume whose tables are whole and whose data, which is
// compressed, cannot be read.
func breakVolume(t *testing.T, volume string) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(rand.N(8)) // so that it can be compressed
	}
	if err := os.WriteFile(raw, content, 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(env.dir, "host", "lib", "images", volume)
	t.Cleanup(func() { _ = os.Remove(image) })
	if out, err := exec.Command("qemu-img", "convert", "-c", "-O", "qcow2", raw, image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// The data lies behind the tables, which take less than half.
	if _, err := file.WriteAt(make([]byte, info.Size()/4), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	env.virsh(t, "pool-refresh", "default")
}
