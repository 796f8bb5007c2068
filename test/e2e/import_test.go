package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// The foreign domains: one that runs, one as OpenStack writes it, and one that
// reaches into its host.
const (
	foreignUUID = "950646e8-c17a-49d0-b83c-1c797811e001"
	novaUUID    = "950646e8-c17a-49d0-b83c-1c797811e002"
	labUUID     = "950646e8-c17a-49d0-b83c-1c797811e003"
)

func foreignDomain(name, uuid, more string) string {
	return `<domain type='qemu'>
  <name>` + name + `</name>
  <uuid>` + uuid + `</uuid>` + more + `
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/></clock>
  <on_crash>restart</on_crash>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source pool='default' volume='demo.tiny.qcow2'/>
      <target dev='vda' bus='virtio'/>
      <readonly/><shareable/>
      <serial>000123</serial>
    </disk>
    <serial type='pty'/>
    <graphics type='vnc' port='-1' autoport='yes'/>
  </devices>
</domain>`
}

// virtctl runs the built program on the cluster.
func (c *cluster) virtctl(args ...string) (out, errOut string, code int) {
	cmd := exec.Command(program("virtctl"), append([]string{"--kubeconfig", filepath.Join(c.dir, "kubeconfig"), "-n", namespace}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", err.Error(), -1
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// TestImportTakesForeignDomainsOver follows domains that were defined by hand on a
// host into the cluster, and one of them back out.
func TestImportTakesForeignDomainsOver(t *testing.T) {
	g := NewWithT(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := env.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Web Server 1":      foreignDomain("Web Server 1", foreignUUID, "<title>the shop</title>"),
		"instance-0000002a": foreignDomain("instance-0000002a", novaUUID, `<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:name>mail</nova:name></nova:instance></metadata>`),
		"lab":               strings.Replace(foreignDomain("lab", labUUID, ""), "<serial type", "<filesystem type='mount'><source dir='/srv'/><target dir='srv'/></filesystem><serial type", 1),
	} {
		file := filepath.Join(t.TempDir(), "domain.xml")
		g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
		env.virsh(t, "define", file)
		t.Cleanup(func() {
			// Those that were taken over are gone by then.
			_, _ = env.Virsh("destroy", name)
			_, _ = env.Virsh("undefine", name, "--nvram")
		})
	}
	env.virsh(t, "start", "Web Server 1")
	process := qemu(foreignUUID)
	g.Expect(process).NotTo(BeZero())
	before := env.virsh(t, "dumpxml", "--inactive", foreignUUID)
	uri := "qemu+unix:///system?socket=" + env.LibvirtSocket()

	// All that is there, as it would become; domains of Domus apart.
	out, errOut, code := env.virtctl("import", "--all", "--connect", uri, "--dry-run")
	g.Expect(code).To(Equal(6), errOut)
	g.Expect(strings.Count(out, "kind: VirtualMachine\n")).To(Equal(3), out)
	g.Expect(errOut).To(ContainSubstring(`domain instance-0000002a: metadata.name: instance-0000002a became mail`))
	g.Expect(errOut).To(ContainSubstring("domain lab: spec.domain.devices.filesystems[0]: Forbidden"))

	out, errOut, code = env.virtctl("import", "--all", "--connect", uri)
	t.Cleanup(func() { remove(t, "web-server-1"); remove(t, "mail") })
	g.Expect(code).To(Equal(6), errOut)
	g.Expect(out).To(Equal("virtualmachine/web-server-1 created, stopped\nvirtualmachine/mail created, stopped\n"))
	g.Expect(errOut).To(ContainSubstring("undefine 'Web Server 1' --keep-nvram"))
	out, errOut, _ = env.virtctl("import", "--all", "--connect", uri)
	g.Expect(out).To(Equal("virtualmachine/web-server-1 is there already\nvirtualmachine/mail is there already\n"), errOut)

	// The guest runs on, and is nobody else's while its host has it.
	g.Consistently(func() int { return qemu(foreignUUID) }).WithTimeout(stillTime).Should(Equal(process))
	imported, err := get(t, "web-server-1")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(imported.Spec.UUID).To(Equal(foreignUUID))
	g.Expect(imported.Status.Placement).To(BeNil())

	// Taken over as the steps say. This guest is cut off, since it is in nobody's use.
	env.virsh(t, "destroy", "Web Server 1")
	env.virsh(t, "undefine", "Web Server 1", "--keep-nvram")
	out, errOut, code = env.virtctl("start", "web-server-1", "--wait", "--timeout=90s")
	g.Expect(code).To(BeZero(), errOut)
	g.Expect(out).To(Equal("virtualmachine/web-server-1 runs\n"))
	g.Eventually(func() string { return env.console("web-server-1") }).WithTimeout(bootTime).Should(ContainSubstring(banner))
	started, err := get(t, "web-server-1")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(node(started)).To(Equal("real-1"))
	g.Expect(started.Status.Host.DomainUUID).To(Equal(foreignUUID))

	// A domain of Domus is not brought in a second time.
	_, errOut, code = env.virtctl("import", "--connect", uri, foreignUUID)
	g.Expect(code).To(BeZero(), errOut)
	g.Expect(errOut).To(ContainSubstring("is left out: it is the domain of virtualmachine web-server-1 of namespace demo"))

	// Back to plain libvirt: what it has of the XML is what it had in the beginning.
	exported, errOut, code := env.virtctl("export", "web-server-1", "--bare")
	g.Expect(code).To(BeZero(), errOut)
	g.Expect(phase(started)).To(Equal(v1alpha1.PhaseRunning))
	remove(t, "web-server-1")
	file := filepath.Join(t.TempDir(), "exported.xml")
	g.Expect(os.WriteFile(file, []byte(exported), 0o600)).To(Succeed())
	env.virsh(t, "define", file)
	after := env.virsh(t, "dumpxml", "--inactive", foreignUUID)
	for _, d := range xmldoc.Compare(parsed(t, before), parsed(t, after), document.Rules()) {
		t.Errorf("libvirt has it otherwise: %s", d)
	}
}

func parsed(t *testing.T, text string) *xmldoc.Document {
	t.Helper()
	doc, err := xmldoc.Parse("", []byte(text), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
