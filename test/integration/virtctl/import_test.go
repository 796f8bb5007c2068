package virtctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// libvirtWith is the URI of a libvirt that has these domains, whose guests run. It
// is libvirt's own simulation, in this process.
func libvirtWith(t *testing.T, domains ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.xml")
	if err := os.WriteFile(file, []byte("<node>"+strings.Join(domains, "")+"</node>"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "test://" + file
}

// foreign is a domain with something in it.
func foreign(name string, number int, devices string) string {
	return fmt.Sprintf("<domain type='test'><name>%s</name><uuid>950646e8-c17a-49d0-b83c-%012d</uuid><memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os><devices>%s</devices></domain>", name, number, devices)
}

const hostFolder = "<filesystem type='mount'><source dir='/srv'/><target dir='srv'/></filesystem>"

// all lists the VMs of the world's namespace.
func (w *world) all() []v1alpha1.VirtualMachine {
	w.t.Helper()
	list := &v1alpha1.VirtualMachineList{}
	if err := suite.client.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

func TestImportOfARunningLibvirt(t *testing.T) {
	w := newWorld(t)
	uri := libvirtWith(t, foreign("Web 1", 1, "<serial type='pty'/>"), foreign("db", 2, ""), foreign("lab", 3, hostFolder))

	// A dry run of either kind creates nothing, and shows all.
	dry := w.virtctl("import", "--connect", uri, "--all", "--dry-run")
	if dry.code != failure.Some || strings.Count(dry.out, "kind: VirtualMachine\n") != 3 || !strings.Contains(dry.errOut, `"Web 1" became web-1`) {
		t.Fatalf("%+v", dry)
	}
	if !strings.Contains(dry.err.Error(), "domain lab: spec.domain.devices.filesystems[0]: Forbidden: not allowed at policy level restricted") {
		t.Errorf("%v", dry.err)
	}
	server := w.virtctl("import", "--connect", uri, "db", "--dry-run=server")
	server.prints(t, "virtualmachine/db would be created (the API server says so)\n")
	if all := w.all(); len(all) != 0 {
		t.Fatalf("a dry run has created %v", all)
	}

	// What is refused keeps nothing else out.
	first := w.virtctl("import", "--connect", uri, "--all")
	if first.code != failure.Some || first.out != "virtualmachine/web-1 created, stopped\nvirtualmachine/db created, stopped\n" && first.out != "virtualmachine/db created, stopped\nvirtualmachine/web-1 created, stopped\n" {
		t.Fatalf("%v: %+v", first.err, first)
	}
	for _, want := range []string{"Nothing was changed at " + uri, "virsh -c " + uri + " shutdown 'Web 1'", "virtctl start -n " + w.namespace + " web-1"} {
		if !strings.Contains(first.errOut, want) {
			t.Errorf("%s lacks %s", first.errOut, want)
		}
	}
	web := w.get("web-1")
	if web.Spec.UUID != "950646e8-c17a-49d0-b83c-000000000001" || web.Spec.PowerState != v1alpha1.PowerStopped {
		t.Errorf("UUID %s, %s", web.Spec.UUID, web.Spec.PowerState)
	}

	// The same once more changes nothing, whatever has become of it.
	w.virtctl("import", "--connect", uri, "db", "Web 1").prints(t, "virtualmachine/web-1 is there already\nvirtualmachine/db is there already\n")
	if again := w.get("web-1"); again.ResourceVersion != web.ResourceVersion {
		t.Error("it has been changed")
	}

	// With the right level the last one comes in too.
	w.level(v1alpha1.PolicyPrivileged)
	w.virtctl("import", "--connect", uri, "lab", "-o", "name").prints(t, "virtualmachine.domus.dev/lab\n")
}

func (w *world) level(level v1alpha1.PolicyLevel) {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1alpha1.PolicyLevelLabel, level))
	if err := suite.client.Patch(w.t.Context(), ns, patch); err != nil {
		w.t.Fatal(err)
	}
}

// Who may create VMs and no more can bring them in: the level that cannot be read
// is the API server's to know.
func TestImportByWhoMayNotReadNamespaces(t *testing.T) {
	w := newWorld(t)
	kubeconfig, err := kubeconfigOf(w.namespace + "-user")
	if err != nil {
		t.Fatal(err)
	}
	rights, err := client.New(suite.config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, obj := range []client.Object{
		&rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "vms"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"virtualmachines"}, Verbs: []string{"get", "list", "create"}}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "vms"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: w.namespace + "-user"}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "vms"},
		},
	} {
		if err := rights.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "lab.xml")
	if err := os.WriteFile(file, []byte(foreign("lab", 4, hostFolder)), 0o600); err != nil {
		t.Fatal(err)
	}
	dry := w.virtctlAs(kubeconfig, "", "import", "-f", file, "--dry-run")
	dry.fails(t, failure.Denied, "at policy level restricted")
	w.virtctlAs(kubeconfig, "", "import", "-f", file, "-q").prints(t, "virtualmachine/lab created, stopped\n")
	w.virtctlAs(kubeconfig, "", "get", "-o", "name").prints(t, "virtualmachine.domus.dev/lab\n")
}

// What is exported makes the same VM again, in another namespace too.
func TestExportOfWhatWasImported(t *testing.T) {
	w := newWorld(t)
	w.virtctlAs(suite.kubeconfig, foreign("Web 1", 5, "<interface type='user'/>"), "import", "-f", "-", "-q").prints(t, "virtualmachine/web-1 created, stopped\n")
	labelled := w.get("web-1")
	labelled.Labels = map[string]string{"app": "shop"}
	if err := suite.client.Update(t.Context(), labelled); err != nil {
		t.Fatal(err)
	}
	exported := w.virtctl("export", "web-1")
	if exported.err != nil || !strings.Contains(exported.out, "<name>Web 1</name>") || !strings.Contains(exported.out, "<uuid>950646e8-c17a-49d0-b83c-000000000005</uuid>") {
		t.Fatalf("%+v", exported)
	}
	bare := w.virtctl("export", "web-1", "--bare")
	if bare.err != nil || strings.Contains(bare.out, "domus") || strings.Contains(bare.out, "shop") {
		t.Errorf("%+v", bare)
	}
	other := newWorld(t)
	other.virtctlAs(suite.kubeconfig, exported.out, "import", "-f", "-", "-q").prints(t, "virtualmachine/web-1 created, stopped\n")
	back := other.get("web-1")
	if back.Labels["app"] != "shop" || back.Spec.UUID != labelled.Spec.UUID || string(back.Spec.Domain.Raw) != string(labelled.Spec.Domain.Raw) {
		t.Errorf("%+v", back)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	w.virtctl("export", "--all", "-d", dir).prints(t, filepath.Join(dir, w.namespace+".web-1.xml")+"\n")
	some := w.virtctl("export", "web-1", "none", "-o", "yaml")
	if some.code != failure.Some || !strings.Contains(some.out, "app: shop") || strings.Contains(some.out, "resourceVersion") {
		t.Errorf("%+v", some)
	}
	w.virtctl("export", "none").fails(t, failure.Missing, "none")
	if empty := newWorld(t).virtctl("export", "--all"); empty.err != nil || !strings.Contains(empty.errOut, "No virtualmachines found") {
		t.Errorf("%+v", empty)
	}
}
