package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// firmware is a guest with UEFI and an emulated TPM, and nothing to boot.
const firmware = `{"os": {"firmware": "efi"}, "devices": {"tpms": [{"model": "tpm-crb", "backend": {"emulator": {"version": "2.0", "persistentState": "yes"}}}]}}`

// TestFirmwareState follows what a guest's firmware keeps: through stops, another
// executor and another definition, until the VM is gone.
func TestFirmwareState(t *testing.T) {
	g := NewWithT(t)
	const name = "uefi"
	t.Cleanup(func() { remove(t, name) })
	vm := newVM(name, "real")
	vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(firmware)}
	// Nothing in it hears that it is to shut down.
	vm.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1)
	create(t, vm)
	runs := func() {
		t.Helper()
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	}
	stops := func() {
		t.Helper()
		setPower(t, name, v1alpha1.PowerStopped)
		g.Eventually(get(t, name)).WithTimeout(2 * settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	}
	patch := func(spec string) {
		t.Helper()
		vm := &v1alpha1.VirtualMachine{}
		vm.Namespace, vm.Name = namespace, name
		g.Expect(env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", []byte(`{"spec":`+spec+`}`)))).To(Succeed())
	}
	runs()
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	uuid := vm.Status.Host.DomainUUID
	lib := filepath.Join(env.dir, "host", "lib")
	nvram := filepath.Join(lib, filepath.FromSlash(env.domain(t, uuid).OS.NVRam.NVRam[len("/var/lib/libvirt/"):]))
	tpm := filepath.Join(lib, "swtpm", uuid)
	g.Expect(nvram).To(BeAnExistingFile())
	g.Expect(filepath.Join(tpm, "tpm2", "tpm2-00.permall")).To(BeAnExistingFile())

	// They are the same for as long as the one is the same file, and a mark lies
	// beside the other.
	stops()
	before, err := os.Stat(nvram)
	g.Expect(err).NotTo(HaveOccurred())
	mark := filepath.Join(tpm, "tpm2", "mark")
	g.Expect(os.WriteFile(mark, nil, 0o600)).To(Succeed())
	same := func() {
		t.Helper()
		info, err := os.Stat(nvram)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.SameFile(before, info)).To(BeTrue(), "the UEFI variables are new ones")
		g.Expect(mark).To(BeAnExistingFile(), "the TPM's state is a new one")
	}

	setPower(t, name, v1alpha1.PowerRunning)
	runs()
	same()
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	stops()
	patch(`{"domain":` + firmware[:len(firmware)-1] + `,"title":"defined anew"}}`)
	setPower(t, name, v1alpha1.PowerRunning)
	runs()
	g.Expect(env.domain(t, uuid).Title).To(Equal("defined anew"))
	same()

	// It is to give its place back, and keeps it.
	patch(`{"powerState":"Stopped","whenStopped":"Release"}`)
	g.Eventually(get(t, name)).WithTimeout(2 * settleTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseStopped)),
		HaveField("Status.Host.Message", ContainSubstring("its UEFI variables and its TPM's state would be lost"))))
	g.Consistently(get(t, name)).WithTimeout(stillTime).Should(WithTransform(node, Equal("real-1")))
	same()

	vm, err = get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(env.Delete(t.Context(), vm)).To(Succeed())
	g.Eventually(func() bool {
		_, err := get(t, name)()
		return apierrors.IsNotFound(err)
	}).WithTimeout(bootTime).Should(BeTrue())
	for _, path := range []string{nvram, tpm} {
		_, err := os.Stat(path)
		g.Expect(err).To(MatchError(fs.ErrNotExist), path)
	}
}
