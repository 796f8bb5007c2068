package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// hush is in all that guests are told in secret.
	hush = "hush-hush-e2e"
	// guestKey is a public key.
	guestKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkC5tjIvEHl5E3cRkmKyHo5q1vGRfTjXCRxNAuTuk2w e2e"
	// cloudTime is far above the half minute of CPU that Debian's cloud-init takes
	// in an emulated guest.
	cloudTime = 10 * time.Minute
)

// putSecret makes or changes a Secret with user data.
func putSecret(t *testing.T, name, text string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"userdata": []byte(text)}}
	t.Cleanup(func() { _ = env.Delete(context.Background(), secret) })
	err := env.Create(t.Context(), secret)
	if apierrors.IsAlreadyExists(err) {
		err = env.Update(t.Context(), secret)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func userDataFrom(secret string) *v1alpha1.CloudInitSource {
	return &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: secret, Key: "userdata"}}
}

// said is a line that a guest printed last, after its first words.
func said(name, words string) func() string {
	return func() string {
		console := env.console(name)
		at := strings.LastIndex(console, words)
		if at < 0 {
			return ""
		}
		line, _, _ := strings.Cut(console[at:], "\n")
		return strings.TrimSpace(line)
	}
}

func restartRequired(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionRestartRequired)
	if c == nil {
		return ""
	}
	return c.Message
}

func seedOf(vm *v1alpha1.VirtualMachine) string {
	return filepath.Join(env.dir, "seeds", "real-1", string(vm.UID)+".iso")
}

// TestCloudInit follows one guest that is told something at its starts. Each step
// builds upon the one before.
func TestCloudInit(t *testing.T) {
	const name = "seeded"
	t.Cleanup(func() { remove(t, name) })
	for _, step := range []struct {
		name string
		run  func(t *testing.T, name string)
	}{
		{"it takes its name and key from its seed", readsItsSeed},
		{"no other host may read its Secret", keepsItsSecret},
		{"a Secret that changes is told at the next start", readsItsNextSeed},
		{"its seed survives its executor", keepsItsSeed},
		{"nothing of it is shown or left", leavesNoSeed},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, name) }) {
			if vm, err := get(t, name)(); err == nil {
				t.Logf("the VM's status: %+v", vm.Status)
			}
			t.Logf("its console:\n%s", env.console(name))
			t.FailNow()
		}
	}
}

func sumOf(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func readsItsSeed(t *testing.T, name string) {
	g := NewWithT(t)
	ensureNamespace(t, namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"userdata": []byte("#!" + hush)}}
	g.Expect(env.Create(t.Context(), secret)).To(Succeed())
	vm := newGuest(t, name)
	vm.Spec.Domain = withDevices(t, vm.Spec.Domain, map[string]any{"interfaces": []any{map[string]any{
		"source": map[string]any{"user": map[string]any{}}, "mac": map[string]any{"address": "52:54:00:aa:bb:01"}, "model": map[string]any{"type": "virtio"},
	}}})
	vm.Spec.CloudInit = &v1alpha1.CloudInit{UserDataFrom: userDataFrom(name), SSHAuthorizedKeys: []string{guestKey}}
	create(t, vm)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	g.Eventually(said(name, "DOMUS-GUEST-SEED")).WithTimeout(bootTime).Should(And(
		HavePrefix("DOMUS-GUEST-SEED seeded "+string(vm.UID)+"-"),
		ContainSubstring(" keys=1 user-data="+sumOf("#!"+hush)+" "),
		HaveSuffix("network="+sumOf(`{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"52:54:00:aa:bb:01"},"dhcp4":true}}}`+"\n")),
	))
	info, err := os.Stat(seedOf(vm))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(fs.FileMode(0o400)))
	info, err = os.Stat(filepath.Dir(seedOf(vm)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(fs.ModeDir | 0o710))
	vm, err = get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	var cdroms int
	for _, d := range env.domain(t, vm.Status.Host.DomainUUID).Devices.Disks {
		if d.Device == "cdrom" && d.ReadOnly != nil && d.Source.File != nil && d.Source.File.File == seedOf(vm) {
			cdroms++
		}
	}
	g.Expect(cdroms).To(Equal(1))
}

// as is the API server for another user.
func as(t *testing.T, user string) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(env.dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"domus:executors", "system:authenticated"}}
	c, err := client.New(config, client.Options{Scheme: env.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keepsItsSecret(t *testing.T, name string) {
	g := NewWithT(t)
	read := func(user, secret string) error {
		return as(t, user).Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: secret}, &corev1.Secret{})
	}
	g.Expect(read("domus:executor:real-1", name)).To(Succeed())
	g.Expect(apierrors.IsForbidden(read("domus:executor:sim-1", name))).To(BeTrue())
	putSecret(t, "not-of-a-vm", "#!"+hush)
	g.Expect(apierrors.IsForbidden(read("domus:executor:real-1", "not-of-a-vm"))).To(BeTrue())
	g.Expect(apierrors.IsForbidden(as(t, "domus:executor:real-1").List(t.Context(), &corev1.SecretList{}, client.InNamespace(namespace)))).To(BeTrue())
}

func readsItsNextSeed(t *testing.T, name string) {
	g := NewWithT(t)
	before := said(name, "DOMUS-GUEST-SEED")()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"userdata": []byte("#!next " + hush)}}
	g.Expect(env.Update(t.Context(), secret)).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(3 * settleTime).Should(WithTransform(restartRequired,
		Equal("spec.cloudInit (a Secret that it names has changed) takes effect at the next start")))

	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	g.Expect(env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"cloudInit":{"hostname":"renamed"}}}`)))).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(restartRequired, Equal("spec.cloudInit.hostname takes effect at the next start")))
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	setPower(t, name, v1alpha1.PowerRunning)
	g.Eventually(said(name, "DOMUS-GUEST-SEED")).WithTimeout(bootTime).Should(And(
		HavePrefix("DOMUS-GUEST-SEED renamed "), ContainSubstring(" user-data="+sumOf("#!next "+hush)+" ")))
	g.Expect(strings.Fields(said(name, "DOMUS-GUEST-SEED")())[2]).NotTo(Equal(strings.Fields(before)[2]), "cloud-init takes it for the instance that it has seen")
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(restartRequired, BeEmpty())))
}

func keepsItsSeed(t *testing.T, name string) {
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	before, err := os.ReadFile(seedOf(vm))
	g.Expect(err).NotTo(HaveOccurred())
	stranger := filepath.Join(filepath.Dir(seedOf(vm)), "99999999-9999-4999-8999-999999999999.iso")
	g.Expect(os.WriteFile(stranger, []byte(hush), 0o400)).To(Succeed())
	// What a crash in the midst of writing one leaves.
	staging := filepath.Join(filepath.Dir(seedOf(vm)), ".writing")
	info, err := os.Stat(staging)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(fs.ModeDir | 0o700))
	staged := filepath.Join(staging, "1", "files", "user-data")
	g.Expect(os.MkdirAll(filepath.Dir(staged), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(staged, []byte(hush), 0o400)).To(Succeed())
	process := qemu(vm.Status.Host.DomainUUID)
	g.Expect(process).NotTo(BeZero())
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Consistently(func() int { return qemu(vm.Status.Host.DomainUUID) }).WithTimeout(stillTime).Should(Equal(process))
	after, err := os.ReadFile(seedOf(vm))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(before, after)).To(BeTrue())
	for _, path := range []string{stranger, staged} {
		g.Eventually(func() error { _, err := os.Stat(path); return err }).WithTimeout(settleTime).Should(MatchError(fs.ErrNotExist))
	}
}

func leavesNoSeed(t *testing.T, name string) {
	g := NewWithT(t)
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(fmt.Sprintf("%+v", vm.Status)).NotTo(ContainSubstring(hush))
	g.Expect(env.virsh(t, "dumpxml", vm.Status.Host.DomainUUID)).NotTo(ContainSubstring(hush))
	notes, err := events(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(fmt.Sprint(notes)).NotTo(ContainSubstring(hush))
	notIn(t, filepath.Join(env.dir, "logs"))

	g.Expect(env.Delete(t.Context(), vm)).To(Succeed())
	g.Eventually(func() bool {
		_, err := get(t, name)()
		return apierrors.IsNotFound(err)
	}).WithTimeout(bootTime).Should(BeTrue())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(seedOf(vm)), string(vm.UID)+"*"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty())
	g.Eventually(func() bool {
		err := as(t, "domus:executor:real-1").Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
		return apierrors.IsForbidden(err)
	}).WithTimeout(settleTime).Should(BeTrue(), "the host may still read the Secret")
	g.Expect(env.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})).To(Succeed())
}

// notIn looks for secrets in all logs: the audit log's too.
func notIn(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		content, err := io.ReadAll(file)
		files++
		if bytes.Contains(content, []byte(hush)) {
			t.Errorf("%s says what a guest was told in secret", path)
		}
		return err
	})
	if err != nil || files < 5 {
		t.Fatalf("looked into %d files: %v", files, err)
	}
}

// TestCloudInitOfDebian has the distribution's own cloud-init read the seed.
func TestCloudInitOfDebian(t *testing.T) {
	g := NewWithT(t)
	const name = "debian"
	image := filepath.Join(env.dir, "host", "lib", "images", "demo.cloud.qcow2")
	content, err := os.ReadFile(program("guest/cloud.qcow2"))
	g.Expect(err).NotTo(HaveOccurred(), "run make guest-cloud")
	g.Expect(os.WriteFile(image, content, 0o644)).To(Succeed())
	t.Cleanup(func() {
		remove(t, name)
		_ = os.Remove(image)
	})
	env.virsh(t, "pool-refresh", "default")
	ensureNamespace(t, namespace)
	putSecret(t, name, "#cloud-config\nruncmd:\n- echo first-of-two > /run/seen\nusers:\n- default\n- name: hidden\n  passwd: "+hush+"\n")

	vm := newGuest(t, name)
	vm.Spec.Resources.Memory = resource.MustParse("512Mi")
	vm.Spec.Domain.Raw = bytes.ReplaceAll(vm.Spec.Domain.Raw, []byte("demo.tiny.qcow2"), []byte("demo.cloud.qcow2"))
	vm.Spec.CloudInit = &v1alpha1.CloudInit{Hostname: "of-debian", UserDataFrom: userDataFrom(name), SSHAuthorizedKeys: []string{guestKey}}
	create(t, vm)
	began := time.Now()
	g.Eventually(said(name, "DOMUS-CLOUD-INIT")).WithTimeout(cloudTime).Should(And(
		ContainSubstring(" hostname=of-debian "), ContainSubstring(" keys=1 "), ContainSubstring("DataSourceNoCloud"), ContainSubstring(`"errors":[]`)),
		func() string { return env.console(name) })
	t.Logf("cloud-init was done after %s: %s", time.Since(began).Round(time.Second), said(name, "DOMUS-CLOUD-INIT")())
	g.Eventually(said(name, "DOMUS-SEEN")).WithTimeout(settleTime).Should(Equal("DOMUS-SEEN first-of-two"))
	g.Expect(env.console(name)).NotTo(ContainSubstring("Traceback"))
	g.Expect(env.console(name)).NotTo(ContainSubstring(hush))
}
