// Package skew runs vm-executor of the release before with the vm-scheduler, the
// definitions and the policies of this one: what a cluster is like while its hosts are
// upgraded one by one. bin/previous has that executor (hack/skew.sh).
package skew

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

const (
	node = "real-1"
	// waiting is far above what anything here takes.
	waiting = 4 * time.Minute
)

// An executor of the release before runs VMs that are created, stopped and started
// under this release, and hands its guests over when it is upgraded.
func TestThePreviousExecutorUnderThisScheduler(t *testing.T) {
	g := NewWithT(t)
	bin, err := filepath.Abs(filepath.Join("..", "..", "bin"))
	g.Expect(err).NotTo(HaveOccurred())
	ctrllog.SetLogger(klog.Background())
	g.Expect(live.Prerequisites(bin, "test-skew")).To(Succeed())
	previous, err := os.ReadFile(filepath.Join(bin, "previous", "version"))
	g.Expect(err).NotTo(HaveOccurred(), "run make test-skew")

	dir, err := os.MkdirTemp("/tmp", "domus-skew-")
	g.Expect(err).NotTo(HaveOccurred())
	mixed := filepath.Join(dir, "bin")
	g.Expect(os.MkdirAll(mixed, 0o755)).To(Succeed())
	for _, name := range []string{"domus-dev", "vm-scheduler", "virtctl", "tools", "guest"} {
		g.Expect(os.Symlink(filepath.Join(bin, name), filepath.Join(mixed, name))).To(Succeed())
	}
	executor := filepath.Join(mixed, "vm-executor")
	g.Expect(os.Symlink(filepath.Join(bin, "previous", "vm-executor"), executor)).To(Succeed())

	c := &live.Cluster{Dir: filepath.Join(dir, "c"), Bin: mixed, Out: os.Stderr}
	t.Cleanup(func() {
		if t.Failed() {
			c.ShowLogs()
		}
		if err := c.End(); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	g.Expect(c.Up("--bin-dir="+mixed, "--simulated-hosts=2")).To(Succeed())
	g.Expect(c.Connect()).To(Succeed())
	version := func() (string, error) {
		hv := &v1alpha1.Hypervisor{}
		err := c.Get(context.Background(), client.ObjectKey{Name: node}, hv)
		return hv.Status.Versions.Executor, err
	}
	g.Eventually(version).WithTimeout(waiting).Should(Equal(strings.TrimSpace(string(previous))))

	vm := guest(t, c, "skewed")
	get := func() (*v1alpha1.VirtualMachine, error) {
		now := &v1alpha1.VirtualMachine{}
		return now, c.Get(context.Background(), client.ObjectKeyFromObject(vm), now)
	}
	power := func(state v1alpha1.PowerState) {
		t.Helper()
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"powerState":"`+string(state)+`"}}`))
		g.Expect(c.Patch(t.Context(), &v1alpha1.VirtualMachine{ObjectMeta: vm.ObjectMeta}, patch)).To(Succeed())
	}
	running := func(boots int) int {
		t.Helper()
		g.Eventually(get).WithTimeout(waiting).Should(HaveField("Status.Phase", v1alpha1.PhaseRunning))
		g.Eventually(func() int { return strings.Count(c.Console(vm.Name), live.Banner) }).WithTimeout(waiting).Should(Equal(boots))
		pid := live.QEMU(string(vm.UID))
		g.Expect(pid).NotTo(BeZero())
		return pid
	}
	running(1)
	power(v1alpha1.PowerStopped)
	g.Eventually(func() int { return live.QEMU(string(vm.UID)) }).WithTimeout(waiting).Should(BeZero())
	g.Eventually(get).WithTimeout(waiting).Should(HaveField("Status.Phase", v1alpha1.PhaseStopped))
	power(v1alpha1.PowerRunning)
	pid := running(2)

	// What the scheduler holds against a host is not seen in one that is a release behind.
	hv := &v1alpha1.Hypervisor{}
	g.Expect(c.Get(t.Context(), client.ObjectKey{Name: node}, hv)).To(Succeed())
	g.Expect(meta.IsStatusConditionTrue(hv.Status.Conditions, v1alpha1.HypervisorReady)).To(BeTrue())
	// This one is there only while something is wrong.
	g.Expect(meta.IsStatusConditionFalse(hv.Status.Conditions, v1alpha1.HypervisorConsistent)).To(BeFalse())

	// The host is upgraded.
	g.Expect(os.Remove(executor)).To(Succeed())
	g.Expect(os.Symlink(filepath.Join(bin, "vm-executor"), executor)).To(Succeed())
	g.Expect(c.Up("--bin-dir=" + mixed)).To(Succeed())
	g.Eventually(version).WithTimeout(waiting).ShouldNot(Equal(strings.TrimSpace(string(previous))))
	if now := running(2); now != pid {
		t.Errorf("the upgrade of the executor took guest %d and left %d", pid, now)
	}
	g.Expect(c.Delete(t.Context(), vm)).To(Succeed())
	g.Eventually(func() error { _, err := get(); return err }).WithTimeout(waiting).ShouldNot(Succeed())
	g.Expect(live.QEMU(string(vm.UID))).To(BeZero())
}

// guest creates a VM that boots on the host with QEMU.
func guest(t *testing.T, c *live.Cluster, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	g := NewWithT(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live.Namespace}}
	g.Expect(client.IgnoreAlreadyExists(c.Create(t.Context(), ns))).To(Succeed())
	raw, err := json.Marshal(map[string]any{"devices": map[string]any{"disks": []any{map[string]any{
		"device": "disk", "driver": map[string]any{"name": "qemu", "type": "qcow2"},
		"source": map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.tiny.qcow2"}},
		"target": map[string]any{"dev": "vda", "bus": "virtio"}, "readOnly": true, "shareable": true,
	}}}})
	g.Expect(err).NotTo(HaveOccurred())
	grace := int64(30)
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: name},
		Spec: v1alpha1.VirtualMachineSpec{
			Resources:    v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("256Mi")},
			NodeSelector: map[string]string{corev1.LabelHostname: node}, Domain: &runtime.RawExtension{Raw: raw},
			TerminationGracePeriodSeconds: &grace,
		},
	}
	g.Expect(c.Create(t.Context(), vm)).To(Succeed())
	return vm
}
