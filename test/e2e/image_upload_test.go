package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// TestImageUpload uploads an image as its users do, although they and the host's
// executor are killed amid it, and has guests boot from it on the host that keeps it
// and on another one.
func TestImageUpload(t *testing.T) {
	const here, there = "of-an-upload", "of-one-elsewhere"
	g := NewWithT(t)
	ensureNamespace(t, namespace)
	twoHosts(t)
	content := guestImage(t)
	sum := checksumOf(content)
	dir := t.TempDir()
	file := filepath.Join(dir, "guest.qcow2")
	g.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	t.Cleanup(func() {
		for _, vm := range []string{here, there} {
			remove(t, vm)
			removeDisk(t, vm)
		}
		removeImage(t, "given")
		removeImage(t, "broken")
		removeImage(t, "large")
		for _, h := range []realHost{first(), second()} {
			g.Eventually(func() []string { return h.volumes(t, "default") }).WithTimeout(bootTime).ShouldNot(ContainElement(ContainSubstring(v1alpha1.ImageVolumeMark)))
		}
	})

	t.Run("it is uploaded", func(t *testing.T) {
		g := NewWithT(t)
		out, errOut, code := env.virtctl("image", "upload", "given", "-f", file, "--host", first().node)
		g.Expect(code).To(Equal(0), errOut)
		t.Log(out)
		g.Expect(out).To(And(ContainSubstring("virtualdiskimage/given uploaded to host real-1 (qcow2, "), ContainSubstring(sum)))
		g.Eventually(getImage(t, "given")).WithTimeout(settleTime).Should(WithTransform(imageSays, HavePrefix("Ready True Cached")))
		columns(t, "get", "vdi", "-o", "wide")
		i, err := getImage(t, "given")()
		g.Expect(err).NotTo(HaveOccurred())
		got, err := os.ReadFile(first().image(i.VolumeName()))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(checksumOf(got)).To(Equal(sum))
		out, errOut, code = env.virtctl("image", "upload", "given", "-f", file)
		g.Expect(code).To(Equal(0), errOut)
		g.Expect(out).To(ContainSubstring("is on host real-1 already"))
	})
	t.Run("what was cut off goes on, although the executor dies", func(t *testing.T) {
		g := NewWithT(t)
		// Large enough to be cut off: noise that nothing makes smaller.
		large := filepath.Join(dir, "large.raw")
		said, err := exec.Command("dd", "if=/dev/urandom", "of="+large, "bs=1M", "count=256").CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(said))
		args := []string{"image", "upload", "large", "-f", large, "--format", "raw", "--host", first().node}
		cmd := exec.Command(program("virtctl"), append([]string{"--kubeconfig", filepath.Join(env.dir, "kubeconfig"), "-n", namespace}, args...)...)
		g.Expect(cmd.Start()).To(Succeed())
		length := func() int64 {
			i, err := getImage(t, "large")()
			if err != nil {
				return 0
			}
			info, err := os.Stat(first().image(i.VolumeName()))
			if err != nil {
				return 0
			}
			return info.Size()
		}
		g.Eventually(length).WithTimeout(bootTime).WithPolling(time.Millisecond).Should(BeNumerically(">", 16<<20))
		g.Expect(cmd.Process.Kill()).To(Succeed())
		_ = cmd.Wait()
		g.Eventually(getImage(t, "large")).WithTimeout(bootTime).Should(WithTransform(imageSays, HavePrefix("Fetching False UploadBrokenOff")))
		part := length()
		t.Logf("virtctl was killed at %d bytes of %d", part, 256<<20)
		g.Expect(part).To(BeNumerically("<", 256<<20))
		columns(t, "get", "vdi", "-o", "wide")
		type result struct {
			out, errOut string
			code        int
		}
		ended := make(chan result, 1)
		go func() {
			out, errOut, code := env.virtctl(args...)
			ended <- result{out, errOut, code}
		}()
		g.Eventually(length).WithTimeout(bootTime).WithPolling(time.Millisecond).Should(BeNumerically(">", part+(8<<20)))
		env.kill(t, first().executor)
		t.Logf("vm-executor was killed at %d bytes", length())
		g.Expect(env.up()).To(Succeed())
		r := <-ended
		g.Expect(r.code).To(Equal(0), r.errOut)
		t.Log(r.out)
		g.Eventually(getImage(t, "large")).WithTimeout(settleTime).Should(WithTransform(imageSays, HavePrefix("Ready True Cached")))
		i, err := getImage(t, "large")()
		g.Expect(err).NotTo(HaveOccurred())
		whole, err := os.ReadFile(first().image(i.VolumeName()))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(checksumOf(whole)).To(Equal(i.Spec.Checksum))
	})
	t.Run("what is not what it says is refused", func(t *testing.T) {
		g := NewWithT(t)
		other := filepath.Join(dir, "other.qcow2")
		g.Expect(os.WriteFile(other, append([]byte("QFI\xfb"), content[5:]...), 0o600)).To(Succeed())
		_, errOut, code := env.virtctl("image", "upload", "given", "-f", other)
		g.Expect(code).To(Equal(5), errOut)
		g.Expect(errOut).To(ContainSubstring("is there with checksum " + sum))
		// The host says so too, of a file that is not read first.
		_, errOut, code = env.virtctl("image", "upload", "broken", "-f", file, "--format", "raw", "--host", first().node)
		g.Expect(code).To(Equal(5), errOut)
		g.Expect(errOut).To(ContainSubstring("host real-1: it begins as a file of format qcow2, and spec.format is raw"))
		g.Eventually(getImage(t, "broken")).WithTimeout(settleTime).Should(WithTransform(imageSays, HavePrefix("Failed False InvalidImage")))
		i, err := getImage(t, "broken")()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(first().image(i.VolumeName())).NotTo(BeAnExistingFile())
	})
	t.Run("no ticket for who may not upload it", func(t *testing.T) {
		g := NewWithT(t)
		meddler := ticketMaker(t, "meddler", "virtualdiskimages")
		ticket := &v1alpha1.TransferTicket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "meddler-"}, Spec: v1alpha1.TransferTicketSpec{
			NodeName: first().node, TokenSHA256: strings.Repeat("0", 64), ImageUpload: &v1alpha1.ImageUpload{ImageName: "given"},
		}}
		g.Eventually(func() error { return meddler.Create(t.Context(), ticket) }).WithTimeout(settleTime).Should(
			And(Satisfy(apierrors.IsForbidden), MatchError(ContainSubstring("you may not create virtualdiskimages/upload of given"))))
	})
	for name, h := range map[string]realHost{here: first(), there: second()} {
		t.Run("a guest boots from it on "+h.node, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(env.Create(t.Context(), ofImage(name, "given", v1alpha1.CloneFull))).To(Succeed())
			vm := bootedFrom(name, name)
			vm.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": h.node}
			create(t, vm)
			g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) bool {
				return meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionAgentConnected)
			}, BeTrue()), "its guest's agent does not answer")
			columns(t, "get", "vdi,vdisk", "-o", "wide")
			i, err := getImage(t, "given")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(h.image(i.VolumeName())).To(BeAnExistingFile())
		})
	}
}
