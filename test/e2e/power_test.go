package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// TestAGuestIsPausedSuspendedAndResumed follows one real guest through all power
// states: what is in its memory stays until it is stopped.
func TestAGuestIsPausedSuspendedAndResumed(t *testing.T) {
	g := NewWithT(t)
	const name = "power"
	boots(t, name)
	t.Cleanup(func() { remove(t, name) })
	started, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	uuid := started.Status.Host.DomainUUID
	becomes := func(state v1alpha1.PowerState, want v1alpha1.Phase) {
		t.Helper()
		setPower(t, name, state)
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(want)), "powerState %s", state)
	}
	before := uptime(t, name, uuid)
	tell(t, uuid, "KEPT=in-memory")
	g.Expect(askShell(t, name, uuid, "echo $KEPT")).To(Equal("in-memory"))

	// Paused, the same process stands still.
	process := qemu(uuid)
	becomes(v1alpha1.PowerPaused, v1alpha1.PhasePaused)
	g.Expect(strings.TrimSpace(env.virsh(t, "domstate", "--reason", uuid))).To(Equal("paused (user)"))
	ticks := cpuTicks(t, process)
	g.Consistently(func() int { return cpuTicks(t, process) - ticks }).WithTimeout(stillTime).Should(BeNumerically("<=", 20), "it uses CPU time")
	becomes(v1alpha1.PowerRunning, v1alpha1.PhaseRunning)
	g.Expect(qemu(uuid)).To(Equal(process))
	afterPause := uptime(t, name, uuid)
	g.Expect(afterPause).To(BeNumerically(">", before))

	// Suspended, there is no process, and what it held is on the disk. That
	// outlives libvirtd, which forgets the reason but not the memory.
	becomes(v1alpha1.PowerSuspended, v1alpha1.PhaseSuspended)
	g.Expect(qemu(uuid)).To(BeZero())
	g.Expect(env.virsh(t, "dominfo", uuid)).To(MatchRegexp(`Managed save: *yes`))
	document := filepath.Join(t.TempDir(), "domain.xml")
	g.Expect(os.WriteFile(document, []byte(env.virsh(t, "dumpxml", "--security-info", uuid)), 0o600)).To(Succeed())
	env.virsh(t, "define", document) // libvirt keeps what is saved
	g.Expect(env.virsh(t, "dominfo", uuid)).To(MatchRegexp(`Managed save: *yes`))
	kill(t, env.libvirtd(t))
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Consistently(get(t, name)).WithTimeout(stillTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseSuspended)))
	becomes(v1alpha1.PowerRunning, v1alpha1.PhaseRunning)
	g.Expect(uptime(t, name, uuid)).To(BeNumerically(">", afterPause))
	g.Expect(askShell(t, name, uuid, "echo $KEPT")).To(Equal("in-memory"))
	g.Expect(strings.Count(env.console(name), banner)).To(Equal(1), "the guest has booted again")
	resumed, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resumed.Status.Host.StartedAt).To(Equal(started.Status.Host.StartedAt))
	g.Expect(resumed.Status.Placement).To(Equal(started.Status.Placement))

	// Stopped, the saved memory is thrown away.
	becomes(v1alpha1.PowerSuspended, v1alpha1.PhaseSuspended)
	becomes(v1alpha1.PowerStopped, v1alpha1.PhaseStopped)
	g.Expect(env.virsh(t, "dominfo", uuid)).To(MatchRegexp(`Managed save: *no`))
	becomes(v1alpha1.PowerRunning, v1alpha1.PhaseRunning)
	g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).Should(Equal(2), "the guest has not booted anew")
}

// TestASavedMemoryThatCannotBeUsedIsKept breaks what was saved: libvirt alone
// would throw it away and boot the guest.
func TestASavedMemoryThatCannotBeUsedIsKept(t *testing.T) {
	g := NewWithT(t)
	const name = "broken"
	boots(t, name)
	t.Cleanup(func() { remove(t, name) })
	setPower(t, name, v1alpha1.PowerSuspended)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseSuspended)))
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	file := fmt.Sprintf("/proc/%d/root/var/lib/libvirt/qemu/save/%s.save", env.libvirtd(t), vm.Status.Host.DomainName)
	good, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	// It is of its full length, and so no save that never came to its end.
	broken := bytes.Replace(good, []byte("<domain"), []byte("<demon!"), 1)
	g.Expect(os.WriteFile(file, broken, 0o600)).To(Succeed())

	setPower(t, name, v1alpha1.PowerRunning)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhaseFailed)),
		WithTransform(func(vm *v1alpha1.VirtualMachine) string { return vm.Status.Host.Reason }, Equal(v1alpha1.ReasonRestoreFailed))))
	g.Consistently(func() int { return qemu(vm.Status.Host.DomainUUID) }).WithTimeout(2 * stillTime).Should(BeZero())
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred(), "what was saved is gone")
	g.Expect(bytes.Equal(content, broken)).To(BeTrue(), "what was saved has changed")

	// Put right, the guest goes on by itself.
	g.Expect(os.WriteFile(file, good, 0o600)).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	g.Expect(strings.Count(env.console(name), banner)).To(Equal(1), "the guest has booted again")
}

// TestASaveThatIsNotWantedAnyMoreIsEnded has a guest's memory saved to a disk that
// takes next to nothing, and changes its mind: the guest goes on.
func TestASaveThatIsNotWantedAnyMoreIsEnded(t *testing.T) {
	g := NewWithT(t)
	const name = "slow"
	boots(t, name)
	t.Cleanup(func() { remove(t, name) })
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	uuid := vm.Status.Host.DomainUUID
	process, before := qemu(uuid), uptime(t, name, uuid)
	file := fmt.Sprintf("/proc/%d/root/var/lib/libvirt/qemu/save/%s.save", env.libvirtd(t), vm.Status.Host.DomainName)
	g.Expect(syscall.Mkfifo(file, 0o600)).To(Succeed())
	disk, err := os.OpenFile(file, os.O_RDWR, 0)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = os.Remove(file) })
	t.Cleanup(func() { _ = disk.Close() })
	go func() {
		for sector := make([]byte, 4096); ; time.Sleep(100 * time.Millisecond) {
			if _, err := disk.Read(sector); err != nil {
				return // the test is over
			}
		}
	}()

	reason := func(vm *v1alpha1.VirtualMachine) string { return vm.Status.Host.Reason }
	setPower(t, name, v1alpha1.PowerSuspended)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhasePaused)), WithTransform(reason, Equal(v1alpha1.ReasonSaving))))
	// Nobody waits for it meanwhile.
	boots(t, "beside")
	remove(t, "beside")
	// Nor is it forgotten by an executor that comes anew.
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	setPower(t, name, v1alpha1.PowerRunning)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	g.Expect(qemu(uuid)).To(Equal(process))
	g.Expect(uptime(t, name, uuid)).To(BeNumerically(">", before))
	g.Expect(env.virsh(t, "dominfo", uuid)).To(MatchRegexp(`Managed save: *no`))
}

// TestHowARealGuestEnds has guests end in each of the ways that libvirt tells
// apart, with the executor there and away.
func TestHowARealGuestEnds(t *testing.T) {
	g := NewWithT(t)
	const name = "ends"
	vm := newGuest(t, name)
	vm.Spec.RunPolicy = v1alpha1.RunOnFailure
	create(t, vm)
	t.Cleanup(func() { remove(t, name) })
	boots := 0
	booted := func() {
		t.Helper()
		boots++
		g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).Should(Equal(boots))
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	}
	ended := func(vm *v1alpha1.VirtualMachine) string {
		return string(vm.Status.Phase) + " " + vm.Status.Host.Reason
	}
	booted()
	now, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	uuid := now.Status.Host.DomainUUID

	kill(t, qemu(uuid))
	booted() // it is started again

	// Killed while nobody looks.
	env.kill(t, "vm-executor-real")
	kill(t, qemu(uuid))
	g.Expect(env.up()).To(Succeed())
	booted()

	// It powers itself off while nobody looks.
	env.kill(t, "vm-executor-real")
	tell(t, uuid, "poweroff -f")
	g.Eventually(func() int { return qemu(uuid) }).WithTimeout(settleTime).Should(BeZero())
	g.Expect(env.up()).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(ended, Equal("Ended GuestShutDown")))
	// What was once said of its end stands, although libvirtd forgets it.
	kill(t, env.libvirtd(t))
	g.Expect(env.up()).To(Succeed())
	g.Consistently(get(t, name)).WithTimeout(stillTime).Should(WithTransform(ended, Equal("Ended GuestShutDown")))

	// Started by hand, it runs again.
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	setPower(t, name, v1alpha1.PowerRunning)
	booted()
}

// tell types a line on the guest's serial console, where a shell reads it.
func tell(t *testing.T, uuid, line string) {
	t.Helper()
	domain := env.domain(t, uuid)
	path := ""
	for _, console := range domain.Devices.Consoles {
		if console.Source != nil && console.Source.Pty != nil {
			path = console.Source.Pty.Path
		}
	}
	if path == "" {
		t.Fatal("the guest has no console")
	}
	// As libvirtd's host sees it, which may have terminals of its own.
	tty, err := os.OpenFile(fmt.Sprintf("/proc/%d/root%s", env.libvirtd(t), path), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tty.Close() }()
	// QEMU looks once a second whether somebody is at the terminal, and hears
	// nobody else.
	time.Sleep(qemuLooks)
	if _, err := tty.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(qemuLooks)
}

const qemuLooks = 1500 * time.Millisecond

// asked counts questions, so that no answer is taken for another's.
var asked int

// ask has the guest's shell run a command, and returns the line that it prints.
func askShell(t *testing.T, name, uuid, command string) string {
	t.Helper()
	asked++
	answer := regexp.MustCompile(fmt.Sprintf(`(?m)^ANSWER-%d ([^\r\n]*)`, asked))
	var found []string
	NewWithT(t).Eventually(func() []string {
		tell(t, uuid, fmt.Sprintf(`echo "ANSWER-%d $(%s)"`, asked, command))
		found = answer.FindStringSubmatch(env.console(name))
		return found
	}).WithTimeout(settleTime).Should(HaveLen(2), "the guest's shell does not answer")
	return found[1]
}

// uptime is for how long the guest's CPUs have run, in seconds.
func uptime(t *testing.T, name, uuid string) float64 {
	t.Helper()
	seconds, err := strconv.ParseFloat(askShell(t, name, uuid, "cut -d' ' -f1 /proc/uptime"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// cpuTicks is how much CPU time the process has used, in ticks of 10 ms.
func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}
