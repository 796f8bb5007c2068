package e2e

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

const (
	// bootTime is far above the 10 s that an emulated guest takes, since other
	// work may share the machine.
	bootTime = 5 * time.Minute
	// settleTime is how long a change of state may take to be seen.
	settleTime = 3 * time.Minute
	// stillTime is how long a guest is watched to be left alone.
	stillTime = 5 * time.Second
)

// banner is what the guest prints each time it has booted, farewell what it
// prints when it has been asked to shut down.
const (
	banner   = live.Banner
	farewell = live.Farewell
)

// TestAGuestsLife follows one real guest from its creation to its deletion.
// Each step builds upon the one before.
func TestAGuestsLife(t *testing.T) {
	const name = "life"
	steps := []struct {
		name string
		run  func(t *testing.T, name string)
	}{
		{"it boots to its console", boots},
		{"it survives the death of its executor", survives(func(t *testing.T) { env.kill(t, "vm-executor-real") })},
		{"it survives the death of libvirtd", survives(func(t *testing.T) { kill(t, env.libvirtd(t)) })},
		{"it survives the death of the API server", survives(func(t *testing.T) { env.kill(t, "kube-apiserver") })},
		{"it survives the death of the scheduler", survives(func(t *testing.T) { env.kill(t, "vm-scheduler") })},
		{"it shuts down when asked", stops},
		{"it starts again", startsAgain},
		{"it leaves nothing behind when deleted", leavesNothing},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, name) }) {
			if vm, err := get(t, name)(); err == nil {
				t.Logf("the VM's status: %+v", vm.Status)
			}
			t.Logf("its console:\n%s", env.console(name))
			t.FailNow()
		}
	}
}

func boots(t *testing.T, name string) {
	g := NewWithT(t)
	create(t, newGuest(t, name))
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(node, Equal("real-1"))))
	g.Eventually(func() string { return env.console(name) }).WithTimeout(bootTime).Should(ContainSubstring(banner))
}

// survives checks that a guest runs on through a fault, unchanged, and that
// its status is right again once everything is up.
func survives(fault func(t *testing.T)) func(t *testing.T, name string) {
	return func(t *testing.T, name string) {
		g := NewWithT(t)
		before, err := get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(before.Status.Host).NotTo(BeNil())
		process := qemu(before.Status.Host.DomainUUID)
		g.Expect(process).NotTo(BeZero())

		fault(t)
		sameGuest := func() int { return qemu(before.Status.Host.DomainUUID) }
		g.Consistently(sameGuest).WithTimeout(stillTime).Should(Equal(process))
		g.Expect(env.up()).To(Succeed())

		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		g.Consistently(sameGuest).WithTimeout(stillTime).Should(Equal(process))
		after, err := get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(after.Status.Placement).To(Equal(before.Status.Placement))
		g.Expect(after.Status.Epoch).To(Equal(before.Status.Epoch))
		g.Expect(after.Status.Host.StartedAt).To(Equal(before.Status.Host.StartedAt))
		g.Expect(strings.Count(env.console(name), banner)).To(Equal(1), "the guest has booted again")
	}
}

func stops(t *testing.T, name string) {
	g := NewWithT(t)
	before, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	g.Expect(qemu(before.Status.Host.DomainUUID)).To(BeZero())
	g.Expect(env.console(name)).To(ContainSubstring(farewell), "it was switched off, not shut down")
	// It keeps its host.
	g.Consistently(get(t, name)).WithTimeout(stillTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhaseStopped)), WithTransform(node, Equal("real-1"))))
}

func startsAgain(t *testing.T, name string) {
	g := NewWithT(t)
	before, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	setPower(t, name, v1alpha1.PowerRunning)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).Should(Equal(2))
	after, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(after.Status.Host.DomainUUID).To(Equal(before.Status.Host.DomainUUID))
	g.Expect(after.Status.Epoch).To(Equal(before.Status.Epoch))
}

func leavesNothing(t *testing.T, name string) {
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(env.domains(t)).To(ContainSubstring(vm.Status.Host.DomainUUID))
	g.Expect(env.Delete(t.Context(), vm)).To(Succeed())
	g.Eventually(func() bool {
		_, err := get(t, name)()
		return apierrors.IsNotFound(err)
	}).WithTimeout(bootTime).Should(BeTrue())
	g.Expect(qemu(vm.Status.Host.DomainUUID)).To(BeZero())
	g.Expect(env.domains(t)).NotTo(ContainSubstring(vm.Status.Host.DomainUUID))
	g.Expect(env.console(name)).To(BeEmpty(), "its console log is still there")
}

// TestAPowerCut ends the whole host at once, guests and libvirtd with it.
func TestAPowerCut(t *testing.T) {
	g := NewWithT(t)
	const name = "cut"
	boots(t, name)
	before, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())

	env.kill(t, "host")
	g.Eventually(func() int { return qemu(before.Status.Host.DomainUUID) }).WithTimeout(settleTime).Should(BeZero())
	g.Expect(env.up()).To(Succeed())
	g.Eventually(func() int { return strings.Count(env.console(name), banner) }).WithTimeout(bootTime).
		Should(Equal(2), "the guest was not started again")
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	after, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(after.Status.Placement).To(Equal(before.Status.Placement))
	g.Expect(after.Status.Host.StartedAt).NotTo(Equal(before.Status.Host.StartedAt))
}
