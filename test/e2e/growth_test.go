package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// within is what a guest has, as it sees it itself.
type within struct {
	cpus int
	// memory is MemTotal in MiB: without what the kernel keeps for itself.
	memory int
	// boot is the kernel's id of this boot, uptime in seconds.
	boot   string
	uptime int
}

var seen = regexp.MustCompile(`SIZE-(\S+) (\d+) (\d+) (\S+) (\d+)`)

// lookInside has the guest say on its console what it has.
func lookInside(t *testing.T, name string) within {
	t.Helper()
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	mark := strconv.FormatInt(time.Now().UnixNano(), 36)
	inGuest(t, vm, "echo SIZE-"+mark+" $(nproc) $(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"+
		" $(cat /proc/sys/kernel/random/boot_id) $(cut -d. -f1 /proc/uptime) >/dev/ttyS0")
	var out within
	g.Eventually(func() error {
		for _, m := range seen.FindAllStringSubmatch(env.console(name), -1) {
			if m[1] != mark {
				continue
			}
			out.cpus, _ = strconv.Atoi(m[2])
			kib, _ := strconv.Atoi(m[3])
			out.uptime, _ = strconv.Atoi(m[5])
			out.memory, out.boot = kib/1024, m[4]
			return nil
		}
		return fmt.Errorf("the guest has said nothing")
	}).WithTimeout(time.Minute).Should(Succeed())
	return out
}

// privileged lets VMs of the tests' namespace have anything, until the test ends.
func privileged(t *testing.T) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := env.Create(t.Context(), ns.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	label := func(ctx context.Context, value string) error {
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, v1alpha1.PolicyLevelLabel, value)
		return env.Patch(ctx, ns.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)))
	}
	if err := label(t.Context(), strconv.Quote(string(v1alpha1.PolicyPrivileged))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := label(context.Background(), "null"); err != nil {
			t.Error(err)
		}
	})
}

// setSize edits a VM's vCPUs and MiB, as a user does.
func setSize(t *testing.T, name string, cpu, mib int) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := fmt.Sprintf(`{"spec":{"resources":{"cpu":%d,"memory":"%dMi"}}}`, cpu, mib)
	if err := env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// hostSize is what the VM's host says that the guest has, for matchers.
func hostSize(vm *v1alpha1.VirtualMachine) v1alpha1.GuestSize {
	if h := vm.Status.Host; h != nil {
		return v1alpha1.GuestSize{CPU: h.CPU, Memory: h.Memory >> 20}
	}
	return v1alpha1.GuestSize{}
}

// A real guest grows and shrinks without being started anew, and sees it.
func TestARealGuestGrows(t *testing.T) {
	const name = "growth"
	g := NewWithT(t)
	privileged(t)
	t.Cleanup(func() { remove(t, name) })
	vm := newAgentGuest(t, name, nil)
	most := resource.MustParse("512Mi")
	vm.Spec.Resources.Memory = resource.MustParse("192Mi")
	vm.Spec.Resources.MaxCPU, vm.Spec.Resources.MaxMemory = 3, &most
	// Without KVM a guest is given vCPUs only where there is room for their code.
	vm.Spec.Domain.Raw = []byte(strings.Replace(string(vm.Spec.Domain.Raw), "{", `{"features":{"acpi":true,"apic":{},"tcg":{"tbCache":{"unit":"MiB","size":256}}},`, 1))
	create(t, vm)
	t.Cleanup(func() {
		if t.Failed() {
			vm, _ := get(t, name)()
			t.Logf("status: %+v\nhost: %+v\nits console:\n%s", vm.Status, vm.Status.Host, env.console(name))
		}
	})
	size := func(cpu int32, mib int64) {
		t.Helper()
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(hostSize, Equal(v1alpha1.GuestSize{CPU: cpu, Memory: mib})))
	}
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(connected, Equal(metav1.ConditionTrue)))
	size(1, 192)
	before := lookInside(t, name)
	t.Logf("started: %+v", before)
	if before.cpus != 1 || before.memory > 192 {
		t.Errorf("it has more than it was granted: %+v", before)
	}
	started := func() *metav1.Time {
		vm, err := get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		return vm.Status.Host.StartedAt
	}()

	began := time.Now()
	setSize(t, name, 3, 384)
	size(3, 384)
	t.Logf("its host gave it what it was granted within %s", time.Since(began).Round(time.Millisecond))
	var after within
	g.Eventually(func() int { after = lookInside(t, name); return after.cpus }).WithTimeout(time.Minute).Should(Equal(3))
	t.Logf("grown: %+v", after)
	if after.boot != before.boot || after.uptime <= before.uptime {
		t.Errorf("it was booted anew: %+v, then %+v", before, after)
	}
	if more := after.memory - before.memory; more < 180 || more > 200 {
		t.Errorf("it has %d MiB more, want 192", more)
	}
	grown, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(grown.Status.Host.StartedAt.Equal(started)).To(BeTrue())
	g.Expect(grown.Status.ObservedGeneration).To(Equal(grown.Generation))
	g.Expect(meta.FindStatusCondition(grown.Status.Conditions, v1alpha1.ConditionRestartRequired)).To(BeNil())

	// Its executor ends without warning, and knows all of it again.
	env.kill(t, "vm-executor-real")
	setSize(t, name, 3, 256)
	g.Expect(env.up()).To(Succeed())
	size(3, 256)
	g.Eventually(get(t, name)).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) int64 { return vm.Status.Placement.Granted.Memory >> 20 }, Equal(int64(256))))
	shrunk := lookInside(t, name)
	t.Logf("shrunk: %+v", shrunk)
	if less := after.memory - shrunk.memory; shrunk.boot != before.boot || less < 120 || less > 136 {
		t.Errorf("it gave %d MiB back, want 128: %+v", less, shrunk)
	}

	// vCPUs are not taken from it.
	setSize(t, name, 1, 256)
	g.Eventually(get(t, name)).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) string {
		if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionRestartRequired); c != nil {
			return c.Message
		}
		return ""
	}, Equal("spec.resources.cpu takes effect at the next start, for which the VM is placed anew")))
	g.Expect(hostSizeOf(t, name).CPU).To(Equal(int32(3)))
}

func hostSizeOf(t *testing.T, name string) v1alpha1.GuestSize {
	t.Helper()
	vm, err := get(t, name)()
	if err != nil {
		t.Fatal(err)
	}
	return hostSize(vm)
}
