package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
)

// TestDiskExport downloads a disk as its users do, and as others try to.
func TestDiskExport(t *testing.T) {
	g := NewWithT(t)
	createDisk(t, newDisk("given", "96Mi", raw))
	d := atHomeOn(t, "given", first(), "default")
	content := fill(t, first().image(d.VolumeName()), 96)
	sum := sha256.Sum256(content)
	want := "sha256:" + hex.EncodeToString(sum[:])
	dir := t.TempDir()
	export := func(args ...string) (string, string, int) {
		return env.virtctl(append([]string{"disk", "export", "given"}, args...)...)
	}

	t.Run("as it is", func(t *testing.T) {
		g := NewWithT(t)
		file := filepath.Join(dir, "given.raw")
		began := time.Now()
		out, errOut, code := export("-o", file)
		g.Expect(code).To(Equal(0), errOut)
		t.Logf("%s: %s", time.Since(began).Round(time.Millisecond), out)
		g.Expect(out).To(ContainSubstring(want))
		got, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(got, content)).To(BeTrue())
		left, err := filepath.Glob(file + ".*")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(left).To(BeEmpty())
	})
	t.Run("in another format", func(t *testing.T) {
		g := NewWithT(t)
		file := filepath.Join(dir, "given.qcow2")
		out, errOut, code := export("-o", file, "--format", "qcow2")
		g.Expect(code).To(Equal(0), errOut)
		g.Expect(out).To(ContainSubstring("(qcow2, "))
		back := filepath.Join(dir, "back.raw")
		said, err := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, back).CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(said))
		got, err := os.ReadFile(back)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(got, content)).To(BeTrue())
	})
	t.Run("although its host's executor dies", func(t *testing.T) {
		g := NewWithT(t)
		file := filepath.Join(dir, "hunted.raw")
		type result struct {
			out, errOut string
			code        int
		}
		ended := make(chan result, 1)
		go func() {
			out, errOut, code := export("-o", file)
			ended <- result{out, errOut, code}
		}()
		for range 2 {
			time.Sleep(rand.N(700 * time.Millisecond))
			env.kill(t, "vm-executor-real")
			g.Expect(env.up()).To(Succeed())
		}
		r := <-ended
		g.Expect(r.code).To(Equal(0), r.errOut)
		g.Expect(r.out).To(ContainSubstring(want))
	})
	t.Run("what was cut off goes on", func(t *testing.T) {
		g := NewWithT(t)
		file := filepath.Join(dir, "cut.raw")
		cmd := exec.Command(program("virtctl"), "--kubeconfig", filepath.Join(env.dir, "kubeconfig"), "-n", namespace, "disk", "export", "given", "-o", file)
		g.Expect(cmd.Start()).To(Succeed())
		g.Eventually(func() int64 {
			info, err := os.Stat(file + ".part")
			if err != nil {
				return 0
			}
			return info.Size()
		}).WithTimeout(settleTime).WithPolling(time.Millisecond).Should(BeNumerically(">", 1<<20))
		g.Expect(cmd.Process.Kill()).To(Succeed())
		_ = cmd.Wait()
		info, err := os.Stat(file + ".part")
		g.Expect(err).NotTo(HaveOccurred(), "it was done before it could be cut off")
		t.Logf("cut off at %d bytes", info.Size())
		out, errOut, code := export("-o", file)
		g.Expect(code).To(Equal(0), errOut)
		g.Expect(out).To(ContainSubstring(want))
	})
	t.Run("nobody without a ticket's token", func(t *testing.T) {
		g := NewWithT(t)
		ticket := &v1alpha1.TransferTicket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tried"}, Spec: v1alpha1.TransferTicketSpec{
			NodeName: first().node, TokenSHA256: strings.Repeat("0", 64), DiskExport: &v1alpha1.DiskExport{DiskName: "given"},
		}}
		g.Expect(env.Create(t.Context(), ticket)).To(Succeed())
		t.Cleanup(func() { _ = env.Delete(context.Background(), ticket) })
		g.Eventually(func() string {
			_ = env.Get(t.Context(), client.ObjectKeyFromObject(ticket), ticket)
			return ticket.Status.URL
		}).WithTimeout(settleTime).ShouldNot(BeEmpty())
		trust, err := transfer.Trust(first().node, ticket.Status.Certificate)
		g.Expect(err).NotTo(HaveOccurred())
		caller := transfer.Client(trust)
		for _, token := range []string{"", "guessed"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ticket.Status.URL, nil)
			g.Expect(err).NotTo(HaveOccurred())
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			response, err := caller.Do(r)
			g.Expect(err).NotTo(HaveOccurred())
			_ = response.Body.Close()
			g.Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
		}
		// Nor may a stranger send a disk.
		at, _, _ := strings.Cut(ticket.Status.URL, "/v1/")
		response, err := caller.Post(at+"/v1/incoming/"+namespace+"/given/1", "application/json", strings.NewReader(`{"format":"raw","capacity":1,"length":1}`))
		g.Expect(err).NotTo(HaveOccurred())
		_ = response.Body.Close()
		g.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
	})
	t.Run("no ticket for who may not read the disk", func(t *testing.T) {
		g := NewWithT(t)
		nosy := ticketMaker(t, "nosy", "virtualdisks")
		ticket := &v1alpha1.TransferTicket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "nosy-"}, Spec: v1alpha1.TransferTicketSpec{
			NodeName: first().node, TokenSHA256: strings.Repeat("0", 64), DiskExport: &v1alpha1.DiskExport{DiskName: "given"},
		}}
		g.Eventually(func() error { return nosy.Create(t.Context(), ticket) }).WithTimeout(settleTime).Should(
			And(Satisfy(apierrors.IsForbidden), MatchError(ContainSubstring("you may not get virtualdisks/export of given"))))
	})
	t.Run("not while a guest has it", func(t *testing.T) {
		g := NewWithT(t)
		const name = "holder"
		t.Cleanup(func() { remove(t, name) })
		create(t, withDisk(newGuest(t, name), "given"))
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		file := filepath.Join(dir, "held.raw")
		_, errOut, code := export("-o", file)
		g.Expect(code).To(Equal(5), errOut)
		g.Expect(errOut).To(ContainSubstring("VirtualMachine holder has VirtualDisk demo/given, and may be writing it: stop its guest first"))
		left, err := filepath.Glob(file + "*")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(left).To(BeEmpty())
	})
	_, errOut, code := env.virtctl("disk", "export", "nothing", "-o", filepath.Join(dir, "nothing"))
	g.Expect(code).To(Equal(3), errOut)
	list := &v1alpha1.TransferTicketList{}
	g.Expect(env.List(t.Context(), list)).To(Succeed())
	g.Expect(len(list.Items)).To(BeNumerically("<=", 1), "tickets of commands that were killed alone are left")
}
