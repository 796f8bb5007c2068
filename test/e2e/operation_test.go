package e2e

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// withScreen are the devices of a guest that has a screen and a keyboard, and a
// channel on which no agent listens.
var withScreen = map[string]any{
	"channels": []any{map[string]any{
		"source": map[string]any{"unix": map[string]any{}},
		"target": map[string]any{"virtIO": map[string]any{"name": "org.qemu.guest_agent.0"}},
	}},
	"graphics": []any{map[string]any{"vnc": map[string]any{}}},
	"videos":   []any{map[string]any{"model": map[string]any{"type": "vga"}}},
}

// request asks for an operation on the VM of the test and waits until it is over.
func request(t *testing.T, vm, name string, kind v1alpha1.OperationType, change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
	t.Helper()
	ask(t, vm, name, kind, change...)
	op := &v1alpha1.VirtualMachineOperation{}
	NewWithT(t).Eventually(func() (bool, error) {
		var err error
		op, err = operation(t, name)
		return op.Status.Finished(), err
	}).WithTimeout(bootTime).Should(BeTrue(), func() string { return fmt.Sprintf("%+v", op.Status) })
	return op
}

func ask(t *testing.T, vm, name string, kind v1alpha1.OperationType, change ...func(*v1alpha1.VirtualMachineOperation)) {
	t.Helper()
	op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	op.Spec.VirtualMachineName, op.Spec.Type = vm, kind
	for _, f := range change {
		f(op)
	}
	if err := env.Create(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

func operation(t *testing.T, name string) (*v1alpha1.VirtualMachineOperation, error) {
	op := &v1alpha1.VirtualMachineOperation{}
	return op, env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, op)
}

func success() types.GomegaMatcher {
	return WithTransform(func(op *v1alpha1.VirtualMachineOperation) string {
		return string(op.Status.Phase) + " " + op.Status.Reason
	}, Equal("Succeeded "))
}

// TestOperationsOnARealGuest asks one guest for one thing after another. Each
// step builds upon the one before.
func TestOperationsOnARealGuest(t *testing.T) {
	const name = "operated"
	g := NewWithT(t)
	vm := newGuest(t, name)
	vm.Spec.Domain = withDevices(t, vm.Spec.Domain, withScreen)
	t.Cleanup(func() { remove(t, name) })
	create(t, vm)
	guest := &watched{t: t, name: name}
	guest.boots()
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))

	for _, step := range []struct {
		name string
		run  func(t *testing.T, w *watched)
	}{
		{"its screen is seen", screenshot},
		{"what it uses is measured", measure},
		{"it has no agent to ask", askAgent},
		{"it is reset", reset},
		{"it is restarted", restart},
		{"it hears keys", sendKey},
		{"its plug is pulled", forceStop},
		{"its emulator hangs", hang},
		{"its executor dies while it is restarted", restartAcrossADeath},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, &watched{t: t, name: name, booted: guest.booted, off: guest.off}) }) {
			t.Logf("the VM: %s", status(t, name)())
			t.Logf("its console:\n%s", env.console(name))
			t.FailNow()
		}
		guest.catchUp()
	}
}

// watched is a guest as its console tells of it.
type watched struct {
	t    *testing.T
	name string
	// booted and off count how often it has said that it is up, and that it goes.
	booted, off int
}

func (w *watched) catchUp() {
	w.booted, w.off = strings.Count(env.console(w.name), banner), strings.Count(env.console(w.name), farewell)
}

// boots waits until it has booted once more, and is watched not to again.
func (w *watched) boots() {
	w.t.Helper()
	g := NewWithT(w.t)
	count := func() int { return strings.Count(env.console(w.name), banner) - w.booted }
	g.Eventually(count).WithTimeout(bootTime).Should(BeNumerically(">=", 1))
	g.Consistently(count).WithTimeout(stillTime).Should(Equal(1))
	w.booted++
}

// saidGoodbye says whether it has been asked to go since.
func (w *watched) saidGoodbye() bool { return strings.Count(env.console(w.name), farewell) > w.off }

// process is the guest's QEMU now, and vm the VM.
func (w *watched) process() int {
	return qemu(w.vm().DomainUUID())
}

func (w *watched) vm() *v1alpha1.VirtualMachine {
	w.t.Helper()
	vm, err := get(w.t, w.name)()
	if err != nil {
		w.t.Fatal(err)
	}
	return vm
}

func screenshot(t *testing.T, w *watched) {
	g := NewWithT(t)
	op := request(t, w.name, "screenshot", v1alpha1.OperationScreenshot)
	g.Expect(op).To(success(), op.Status.Message)
	shot := op.Status.Screenshot
	picture, err := png.Decode(bytes.NewReader(shot.PNG))
	g.Expect(err).NotTo(HaveOccurred())
	size := picture.Bounds().Size()
	g.Expect(size.X).To(And(BeNumerically(">=", 320), BeNumerically("<=", 1920), BeEquivalentTo(shot.Width)))
	g.Expect(size.Y).To(And(BeNumerically(">=", 200), BeNumerically("<=", 1200), BeEquivalentTo(shot.Height)))
	colours := map[any]bool{}
	for y := range size.Y {
		for x := range size.X {
			colours[picture.At(x, y)] = true
		}
	}
	g.Expect(len(colours)).To(BeNumerically(">", 1), "nothing is on the screen")
}

func measure(t *testing.T, w *watched) {
	g := NewWithT(t)
	op := request(t, w.name, "measure", v1alpha1.OperationMeasure)
	g.Expect(op).To(success(), op.Status.Message)
	usage := op.Status.Usage
	g.Expect(usage.CPUMillis).To(And(BeNumerically(">=", 0), BeNumerically("<", 4000)))
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.process()))
	g.Expect(err).NotTo(HaveOccurred())
	var resident int64
	_, err = fmt.Sscanf(live.StatusFields(string(content))["VmRSS"], "%d kB", &resident)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(usage.Memory).To(BeNumerically("~", resident<<10, resident<<10/10))
	g.Expect([]int64{usage.BlockWritten, usage.NetReceived, usage.NetSent}).To(Equal([]int64{0, 0, 0}), "its disk is read-only, and it has no interface")
}

func askAgent(t *testing.T, w *watched) {
	g := NewWithT(t)
	for _, op := range []*v1alpha1.VirtualMachineOperation{
		request(t, w.name, "password", v1alpha1.OperationSetPassword, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.SetPassword = &v1alpha1.SetPassword{User: "root", Hash: "$6$salt$secretsecretsecret"}
		}),
		request(t, w.name, "ssh-key", v1alpha1.OperationInjectSSHKey, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.InjectSSHKey = &v1alpha1.InjectSSHKey{User: "root", AuthorizedKeys: []string{"ssh-ed25519 AAAA"}}
		}),
	} {
		g.Expect(op.Status.Phase).To(Equal(v1alpha1.OperationFailed))
		g.Expect(op.Status.Reason).To(Equal(v1alpha1.ReasonAgentUnavailable))
		g.Expect(op.Status.Message).To(And(ContainSubstring("the guest needs qemu-guest-agent running"), Not(ContainSubstring("secret"))))
	}
}

func reset(t *testing.T, w *watched) {
	g := NewWithT(t)
	process, before := w.process(), w.vm()
	op := request(t, w.name, "reset", v1alpha1.OperationReset)
	g.Expect(op).To(success(), op.Status.Message)
	w.boots()
	g.Expect(w.saidGoodbye()).To(BeFalse())
	g.Expect(w.process()).To(Equal(process), "its QEMU is another one")
	g.Expect(w.vm().Status.Host.StartedAt).To(Equal(before.Status.Host.StartedAt))
}

func restart(t *testing.T, w *watched) {
	g := NewWithT(t)
	process, before := w.process(), w.vm()
	op := request(t, w.name, "restart", v1alpha1.OperationRestart)
	g.Expect(op).To(success(), op.Status.Message)
	w.boots()
	g.Expect(w.saidGoodbye()).To(BeTrue(), "it was switched off, not shut down")
	g.Expect(w.process()).NotTo(Or(BeZero(), Equal(process)))
	after := w.vm()
	g.Expect(after.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	g.Expect(before.Status.Host.StartedAt.Before(after.Status.Host.StartedAt)).To(BeTrue())
	g.Expect(after.Status.Placement).To(Equal(before.Status.Placement))
}

// sendKey presses keys that the guest tells of, and those that make its kernel
// boot anew.
func sendKey(t *testing.T, w *watched) {
	g := NewWithT(t)
	process := w.process()
	press := func(name string, keys ...string) {
		t.Helper()
		op := request(t, w.name, name, v1alpha1.OperationSendKey, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.SendKey = &v1alpha1.SendKey{Keys: keys}
		})
		g.Expect(op).To(success(), op.Status.Message)
	}
	console := func() string { return env.console(w.name) }
	press("keys", "KEY_LEFTSHIFT", "KEY_A")
	for _, code := range []int{42, 30} {
		g.Eventually(console).WithTimeout(settleTime).Should(ContainSubstring(fmt.Sprintf("DOMUS-GUEST-KEY %d\r\n", code)), "it did not hear the key")
	}
	press("power-key", "KEY_POWER")
	g.Eventually(console).WithTimeout(settleTime).Should(ContainSubstring("DOMUS-GUEST-KEY 116\r\n"), "it did not hear the key")
	g.Expect(w.saidGoodbye()).To(BeFalse(), "it takes its keyboard for its power button")
	press("control-alt-delete", "KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE")
	w.boots()
	g.Expect(w.saidGoodbye()).To(BeFalse(), "it was asked to shut down")
	g.Expect(w.process()).To(Equal(process), "its QEMU is another one")

	op := request(t, w.name, "no-key", v1alpha1.OperationSendKey, func(op *v1alpha1.VirtualMachineOperation) {
		op.Spec.SendKey = &v1alpha1.SendKey{Keys: []string{"KEY_ANY"}}
	})
	g.Expect(op.Status.Reason).To(Equal(v1alpha1.ReasonOperationRefused))
	g.Expect(op.Status.Message).To(ContainSubstring("spec.sendKey.keys"))
}

func forceStop(t *testing.T, w *watched) {
	g := NewWithT(t)
	process := w.process()
	op := request(t, w.name, "stop", v1alpha1.OperationForceStop)
	g.Expect(op).To(success(), op.Status.Message)
	g.Expect(w.process()).NotTo(Equal(process))
	w.boots() // powerState is Running
	g.Expect(w.saidGoodbye()).To(BeFalse(), "it was asked to shut down")
	g.Eventually(get(t, w.name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
}

// hang stops the guest's QEMU, which then answers nothing.
func hang(t *testing.T, w *watched) {
	g := NewWithT(t)
	process := w.process()
	g.Expect(syscall.Kill(process, syscall.SIGSTOP)).To(Succeed())
	began := time.Now()
	op := request(t, w.name, "hang-screenshot", v1alpha1.OperationScreenshot, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.TimeoutSeconds = ptr.To[int32](8) })
	g.Expect(time.Since(began)).To(BeNumerically("<", 30*time.Second))
	g.Expect(op.Status.Reason).To(Equal(v1alpha1.ReasonTimedOut))
	g.Expect(op.Status.Message).To(And(HavePrefix("waited for QEMU or the guest's agent to answer"), HaveSuffix("an operation of type ForceStop ends a guest that hangs")))

	op = request(t, w.name, "hang-stop", v1alpha1.OperationForceStop)
	g.Expect(op).To(success(), op.Status.Message)
	g.Expect(w.process()).NotTo(Equal(process))
	w.boots()
	g.Eventually(get(t, w.name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
}

// restartAcrossADeath kills the executor as soon as the restart has begun.
func restartAcrossADeath(t *testing.T, w *watched) {
	g := NewWithT(t)
	process := w.process()
	ask(t, w.name, "restart-2", v1alpha1.OperationRestart)
	g.Eventually(func() (v1alpha1.OperationPhase, error) {
		op, err := operation(t, "restart-2")
		return op.Status.Phase, err
	}).WithTimeout(settleTime).WithPolling(5 * time.Millisecond).Should(Equal(v1alpha1.OperationRunning))
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Eventually(func() (string, error) {
		op, err := operation(t, "restart-2")
		return string(op.Status.Phase) + " " + op.Status.Reason, err
	}).WithTimeout(bootTime).Should(Equal("Succeeded "))
	w.boots()
	g.Expect(w.process()).NotTo(Or(BeZero(), Equal(process)))
}
