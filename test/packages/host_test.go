package packages

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/hostidentity"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
	"domus.dev/domus/test/internal/signer"
)

const (
	node = "packaged"
	unit = "/lib/systemd/system/domus-executor.service"
	pki  = "/var/lib/vm-executor/pki"
	// waiting is far above what anything here takes.
	waiting = 4 * time.Minute
)

// host is a machine with the package on it, whose libvirt is the second one of a
// cluster that domus-dev runs.
type host struct {
	*machine
	cluster *live.Cluster
	running *exec.Cmd
	log     *bytes.Buffer
}

// A host without a kubelet has the package installed and joins; its guest outlives
// removal, purge, reinstallation and an upgrade.
func TestHost(t *testing.T) {
	g := NewWithT(t)
	c := &live.Cluster{Dir: filepath.Join(built.dir, "c"), Bin: bin, Out: os.Stderr}
	t.Cleanup(func() {
		if t.Failed() {
			c.ShowLogs()
		}
		if err := c.End(); err != nil {
			t.Error(err)
		}
	})
	g.Expect(c.Up("--simulated-hosts=0", "--second-real-host")).To(Succeed())
	g.Expect(c.Connect()).To(Succeed())
	// Its own executor makes room for the packaged one.
	g.Expect(c.Kill("vm-executor-real-2")).To(Succeed())
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.Dir, "kubeconfig"))
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	g.Expect(signer.Start(ctx, config, filepath.Join(c.Dir, "pki", "cluster-ca.crt"), filepath.Join(c.Dir, "pki", "cluster-ca.key"))).To(Succeed())

	h := &host{machine: newMachine(t, built.dir), cluster: c}
	t.Cleanup(h.stop)
	h.apt("install", deb(built.first, "domus-executor", firstVersion), deb(built.first, "domus-virtctl", firstVersion))
	h.join()
	h.start()
	if cert := h.certificate(); cert.Subject.CommonName != hostidentity.User(node) || time.Until(cert.NotAfter) < 24*time.Hour {
		t.Errorf("the host's own certificate is %s's, until %s", cert.Subject, cert.NotAfter)
	}
	if mode := h.run("stat", "--dereference", "--format=%a %U", pki+"/vm-executor-current.pem"); strings.TrimSpace(mode) != "600 root" {
		t.Errorf("the key is for %s", mode)
	}
	g.Expect(h.version()).To(Equal(firstVersion))

	vm := h.guest("survivor")
	pid := live.QEMU(vm.uuid())
	g.Expect(pid).NotTo(BeZero())

	same := func(after string) {
		t.Helper()
		if now := live.QEMU(vm.uuid()); now != pid {
			t.Fatalf("after %s QEMU's process is %d, and was %d", after, now, pid)
		}
		if booted := strings.Count(c.Console("survivor"), live.Banner); booted != 1 {
			t.Fatalf("after %s the guest has booted %d times", after, booted)
		}
	}
	// As the unit's stop, which the package asks of systemd where there is one.
	h.stop()
	h.apt("remove", "domus-executor")
	g.Expect(h.exists("/usr/bin/vm-executor")).To(BeFalse())
	g.Expect(h.exists("/etc/domus/executor.yaml")).To(BeTrue(), "removal keeps configuration")
	g.Expect(h.exists(pki+"/vm-executor-current.pem")).To(BeTrue(), "removal keeps the host's certificate")
	same("removal")

	h.run("mkdir", "-p", "/var/lib/vm-executor/seeds/"+node)
	h.write("/var/lib/vm-executor/seeds/"+node+"/a-guests.iso", "seed")
	h.apt("purge", "domus-executor")
	for _, gone := range []string{"/etc/domus", pki} {
		g.Expect(h.exists(gone)).To(BeFalse(), gone+" is left after a purge")
	}
	g.Expect(h.exists("/var/lib/vm-executor/seeds/"+node+"/a-guests.iso")).To(BeTrue(), "a guest's seed is gone after a purge")
	same("a purge")

	h.apt("install", deb(built.first, "domus-executor", firstVersion))
	h.join()
	h.start()
	g.Eventually(vm.get).WithTimeout(waiting).Should(HaveField("Status.Phase", v1alpha1.PhaseRunning))
	same("a new installation")

	// The old one runs until the new one has been unpacked.
	h.apt("install", deb(built.second, "domus-executor", secondVersion))
	g.Expect(h.run("cat", "/etc/domus/executor.yaml")).To(ContainSubstring("nodeName: "+node), "an upgrade keeps configuration")
	h.stop()
	h.start()
	g.Eventually(h.version).WithTimeout(waiting).Should(Equal(secondVersion))
	same("an upgrade")

	// And it obeys the new one.
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"powerState":"Stopped"}}`))
	g.Expect(c.Patch(ctx, vm.object(), patch)).To(Succeed())
	g.Eventually(func() int { return live.QEMU(vm.uuid()) }).WithTimeout(waiting).Should(BeZero())
	g.Expect(c.Delete(ctx, vm.object())).To(Succeed())
	g.Eventually(func() error { _, err := vm.get(); return err }).WithTimeout(waiting).ShouldNot(Succeed())
}

// join does what docs/packages.md tells an administrator.
func (h *host) join() {
	h.t.Helper()
	dir := h.t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	// The program of the other package, with the administrator's rights.
	h.run("mkdir", "-p", dir)
	out := h.run("virtctl", "--kubeconfig", filepath.Join(h.cluster.Dir, "kubeconfig"), "host", "add", node, "--valid=10m", "--output", kubeconfig)
	if !strings.Contains(out, "host "+node+" can join") {
		h.t.Errorf("virtctl host add said %q", out)
	}
	h.run("install", "-m", "0600", kubeconfig, "/etc/domus/kubeconfig")
	// Its libvirt is not the machine's, and shares the cluster's folder alone with it.
	config := strings.NewReplacer(
		"nodeName: CHANGE-ME", "nodeName: "+node,
		"libvirtURI: qemu:///system", "libvirtURI: qemu+unix:///system?socket="+filepath.Join(h.cluster.Dir, "second", "host", "run", "libvirt-sock"),
		"consoleLogDir: /var/log/vm-executor/consoles", "consoleLogDir: "+filepath.Join(h.cluster.Dir, "logs", "consoles")+"\n    domainType: qemu",
		`cpu: "1"`, `cpu: "0"`,
		"healthBindAddress: 127.0.0.1:9411", "healthBindAddress: "+free(h.t),
		"metricsBindAddress: 127.0.0.1:9410", "metricsBindAddress: "+free(h.t),
	).Replace(h.run("cat", "/etc/domus/executor.yaml"))
	h.write("/etc/domus/executor.yaml", config)
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs the installed unit's own command under what the unit asks for, and waits
// until it says to systemd's socket that it is ready.
func (h *host) start() {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	at := filepath.Join(built.dir, "notify")
	_ = os.Remove(at)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	ready, beat, once := make(chan struct{}), make(chan struct{}), [2]sync.Once{}
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			if strings.Contains(string(buffer[:n]), "READY=1") {
				once[0].Do(func() { close(ready) })
			}
			if strings.Contains(string(buffer[:n]), "WATCHDOG=1") {
				once[1].Do(func() { close(beat) })
			}
		}
	}()
	h.t.Cleanup(func() { _ = socket.Close() })
	h.log = &bytes.Buffer{}
	h.running = h.command(self)
	h.running.Stdout, h.running.Stderr = h.log, h.log
	h.running.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=" + at, "WATCHDOG_USEC=3000000",
		confineVariable + "=" + unit, writableVariable + "=" + built.dir,
	}
	// It must not outlive a test run that is killed.
	h.running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.running.Start(); err != nil {
		h.t.Fatal(err)
	}
	for name, said := range map[string]chan struct{}{"that it is ready": ready, "that it lives": beat} {
		select {
		case <-said:
		case <-time.After(waiting):
			h.stop()
			h.t.Fatalf("the executor did not tell systemd %s:\n%s", name, h.log)
		}
	}
	h.confined()
	hv := &v1alpha1.Hypervisor{}
	if err := h.cluster.Get(h.t.Context(), client.ObjectKey{Name: node}, hv); err != nil {
		h.t.Fatalf("the executor said that it is ready, and the host is not there: %v", err)
	}
	if !meta.IsStatusConditionTrue(hv.Status.Conditions, v1alpha1.HypervisorReady) {
		h.t.Fatalf("the executor said that it is ready, and the host is not: %+v", hv.Status.Conditions)
	}
	if err := h.cluster.Get(h.t.Context(), client.ObjectKey{Name: node}, &corev1.Node{}); err != nil {
		h.t.Fatal(err)
	}
}

// confined checks that the process has no more than its unit gives it.
func (h *host) confined() {
	h.t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.running.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	status := live.StatusFields(string(content))
	// CHOWN 0, FOWNER 3, KILL 5, NET_ADMIN 12, SYS_PTRACE 19.
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": "0000000000081029", "CapEff": "0000000000081029"}
	for key, value := range want {
		if status[key] != value {
			h.t.Errorf("the executor's %s is %q, want %q", key, status[key], value)
		}
	}
}

func (h *host) stop() {
	if h.running == nil {
		return
	}
	_ = h.running.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- h.running.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			h.t.Errorf("the executor ended with %v:\n%s", err, h.log)
		}
	case <-time.After(time.Minute):
		_ = h.running.Process.Kill()
		<-done
		h.t.Errorf("the executor did not end within a minute:\n%s", h.log)
	}
	if h.t.Failed() {
		h.t.Logf("the executor's log:\n%s", h.log)
	}
	h.running = nil
}

// version is that of the executor, as its host reports it.
func (h *host) version() (string, error) {
	hv := &v1alpha1.Hypervisor{}
	err := h.cluster.Get(context.Background(), client.ObjectKey{Name: node}, hv)
	return hv.Status.Versions.Executor, err
}

// certificate is the one that the host asked for itself.
func (h *host) certificate() *x509.Certificate {
	h.t.Helper()
	block, _ := pem.Decode([]byte(h.run("cat", pki+"/vm-executor-current.pem")))
	if block == nil {
		h.t.Fatal("the host has no certificate of its own")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	return cert
}

// guest is a VM of the host's.
type guest struct {
	cluster *live.Cluster
	made    *v1alpha1.VirtualMachine
}

func (v *guest) uuid() string { return string(v.made.UID) }

func (v *guest) object() *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: v.made.Name}}
}

func (v *guest) get() (*v1alpha1.VirtualMachine, error) {
	vm := v.object()
	return vm, v.cluster.Get(context.Background(), client.ObjectKeyFromObject(vm), vm)
}

// guest boots one and waits until it has said so.
func (h *host) guest(name string) *guest {
	h.t.Helper()
	g := NewWithT(h.t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live.Namespace}}
	g.Expect(client.IgnoreAlreadyExists(h.cluster.Create(h.t.Context(), ns))).To(Succeed())
	raw, err := json.Marshal(map[string]any{"devices": map[string]any{"disks": []any{map[string]any{
		"device": "disk", "driver": map[string]any{"name": "qemu", "type": "qcow2"},
		"source": map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.tiny.qcow2"}},
		"target": map[string]any{"dev": "vda", "bus": "virtio"}, "readOnly": true, "shareable": true,
	}}}})
	g.Expect(err).NotTo(HaveOccurred())
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: name},
		Spec: v1alpha1.VirtualMachineSpec{
			Resources:    v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("256Mi")},
			NodeSelector: map[string]string{corev1.LabelHostname: node}, Domain: &runtime.RawExtension{Raw: raw},
		},
	}
	g.Expect(h.cluster.Create(h.t.Context(), vm)).To(Succeed())
	v := &guest{cluster: h.cluster, made: vm}
	g.Eventually(v.get).WithTimeout(waiting).Should(HaveField("Status.Phase", v1alpha1.PhaseRunning))
	g.Eventually(func() string { return h.cluster.Console(name) }).WithTimeout(waiting).Should(ContainSubstring(live.Banner))
	return v
}
