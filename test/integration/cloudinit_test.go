package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hush is in what must not be shown.
const hush = "hush-hush-integration"

func secretOf(ns, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: map[string][]byte{"userdata": []byte("#!" + hush)}}
}

func toldBy(secret string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.CloudInit = &v1alpha1.CloudInit{UserDataFrom: &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: secret, Key: "userdata"}}}
	}
}

func identity(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	config, err := suite.plane.as(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// becomes waits until is holds.
func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(eventually); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s", what, eventually)
		}
	}
}

// TestAHostReadsTheSecretsOfItsVMsAlone: as kubelets do those of their Pods.
func TestAHostReadsTheSecretsOfItsVMsAlone(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	h := startHost(t, ns)
	create(t, secretOf(ns, "told"))
	create(t, secretOf(ns, "other"))
	own, another := identity(t, "domus:executor:"+h.name, "domus:executors"), identity(t, "domus:executor:another", "domus:executors")
	read := func(c client.Client, name string) error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &corev1.Secret{})
	}
	if err := read(own, "told"); !apierrors.IsForbidden(err) {
		t.Fatalf("before any VM needs it: %v", err)
	}

	create(t, newVM(ns, "web", 1, 1, toldBy("told")))
	vm := waitVM(t, ns, "web", saysItRuns)
	if err := read(own, "told"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"a Secret that no VM here names": read(own, "other"),
		"another host's executor":        read(another, "told"),
		"a list of Secrets":              own.List(t.Context(), &corev1.SecretList{}, client.InNamespace(ns)),
		"a change of the Secret":         own.Update(t.Context(), secretOf(ns, "told")),
		"the scheduler":                  read(identity(t, "domus:scheduler", "domus:schedulers"), "told"),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", what, err)
		}
	}
	seed := filepath.Join(h.dir, "seeds", h.name, string(vm.UID)+".iso")
	if medium, err := os.ReadFile(seed); err != nil || !bytes.Contains(medium, []byte(hush)) {
		t.Errorf("the seed is not what the Secret says: %v", err)
	}

	// Another VM of the host is told by the other Secret.
	create(t, newVM(ns, "db", 1, 1, toldBy("other")))
	second := waitVM(t, ns, "db", saysItRuns)
	if err := errors.Join(read(own, "told"), read(own, "other")); err != nil {
		t.Errorf("both Secrets: %v", err)
	}

	// It goes with the VM, and so does the right to read.
	for _, vm := range []*v1alpha1.VirtualMachine{vm, second} {
		if err := suite.client.Delete(t.Context(), vm); err != nil {
			t.Fatal(err)
		}
	}
	becomes(t, "the Role is gone", func() bool {
		err := suite.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "domus:executor:" + h.name}, &rbacv1.Role{})
		return apierrors.IsNotFound(err)
	})
	becomes(t, "the right is gone", func() bool { return apierrors.IsForbidden(read(own, "told")) })
	if _, err := os.Stat(seed); !os.IsNotExist(err) {
		t.Errorf("the seed is still there: %v", err)
	}
	for _, dir := range []string{h.dir, filepath.Dir(suite.plane.auditLog)} {
		logs, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
		more, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, log := range append(logs, more...) {
			if content, err := os.ReadFile(log); err != nil || bytes.Contains(content, []byte(hush)) {
				t.Errorf("%s: it says what the guest was told: %v", log, err)
			}
		}
	}
}

// saysItRuns says why a VM is not Running; nothing when it is.
func saysItRuns(vm *v1alpha1.VirtualMachine) string {
	if vm.Status.Phase == v1alpha1.PhaseRunning {
		return ""
	}
	host, _ := json.Marshal(vm.Status.Host)
	return "it is " + string(vm.Status.Phase) + ": " + string(host)
}

// TestASecretThatIsMissingIsSaidAndMended: by who makes it, without a change of the
// VM.
func TestASecretThatIsMissingIsSaidAndMended(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startHost(t, ns)
	create(t, newVM(ns, "web", 1, 1, toldBy("late")))
	waitVM(t, ns, "web", func(vm *v1alpha1.VirtualMachine) string {
		if h := vm.Status.Host; h == nil || h.Reason != v1alpha1.ReasonSeedUnavailable || !strings.Contains(h.Message, `secrets "late" not found: create it`) {
			return "it is not said"
		}
		return ""
	})
	create(t, secretOf(ns, "late"))
	waitVM(t, ns, "web", saysItRuns)
}

// TestWhatTheSchedulerMayGrant: it has verbs that would make it anything, and a
// policy that leaves one thing of them.
func TestWhatTheSchedulerMayGrant(t *testing.T) {
	ns := namespace(t, nil)
	scheduler := identity(t, "domus:scheduler", "domus:schedulers")
	const host = "domus:executor:host"
	grant := func(name string, change ...func(*rbacv1.PolicyRule)) *rbacv1.Role {
		rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"told"}}
		for _, f := range change {
			f(&rule)
		}
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: []rbacv1.PolicyRule{rule}}
	}
	bind := func(name, role, user string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}
	}
	more := grant(host)
	more.Rules = append(more.Rules, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}})
	ofCluster := bind(host, "cluster-admin", host)
	ofCluster.RoleRef.Kind = "ClusterRole"
	two := bind(host, host, host)
	two.Subjects = append(two.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "domus:scheduler"})
	group := bind(host, host, host)
	group.Subjects[0].Kind = rbacv1.GroupKind
	for what, o := range map[string]client.Object{
		"a Role of another name":        grant("mine"),
		"a Role for no host":            grant("domus:executor:"),
		"all Secrets":                   grant(host, func(r *rbacv1.PolicyRule) { r.ResourceNames = nil }),
		"a list":                        grant(host, func(r *rbacv1.PolicyRule) { r.Verbs = []string{"get", "list"} }),
		"all verbs":                     grant(host, func(r *rbacv1.PolicyRule) { r.Verbs = []string{"*"} }),
		"other kinds":                   grant(host, func(r *rbacv1.PolicyRule) { r.Resources = []string{"secrets", "pods"} }),
		"another group":                 grant(host, func(r *rbacv1.PolicyRule) { r.APIGroups = []string{"*"} }),
		"a second rule":                 more,
		"a binding to oneself":          bind(host, host, "domus:scheduler"),
		"a binding to two":              two,
		"a binding to a group":          group,
		"a binding of another Role":     bind(host, "mine", host),
		"a binding of a ClusterRole":    ofCluster,
		"a binding with another's name": bind("domus:executor:other", host, host),
		"a ClusterRole":                 &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: host}},
	} {
		if err := scheduler.Create(t.Context(), o, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", what, err)
		}
	}
	for _, o := range []client.Object{grant(host), bind(host, host, host)} {
		if err := scheduler.Create(t.Context(), o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
		if err := scheduler.Delete(t.Context(), o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
	foreign := grant("somebody's")
	create(t, foreign)
	if err := scheduler.Delete(t.Context(), foreign); !apierrors.IsForbidden(err) {
		t.Errorf("removing another's Role: %v", err)
	}
}

// TestAVMWithoutSecretsCostsNoMore: the binding, the finalizer and the host's
// report, as before there were seeds, and no Role; user data of its own change
// nothing of that.
func TestAVMWithoutSecretsCostsNoMore(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startHost(t, ns)
	create(t, newVM(ns, "plain", 1, 1))
	create(t, newVM(ns, "inline", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.CloudInit = &v1alpha1.CloudInit{UserData: "#cloud-config\n"}
	}))
	for _, name := range []string{"plain", "inline"} {
		waitVM(t, ns, name, saysItRuns)
	}
	cost := map[string]int{}
	for _, e := range writesIn(t, ns) {
		switch ref := e.ObjectRef; ref.Resource {
		case "virtualmachines":
			cost[ref.Name]++
		case "roles", "rolebindings":
			t.Errorf("%s of %s %s", e.Verb, ref.Resource, ref.Name)
		}
	}
	for _, name := range []string{"plain", "inline"} {
		if cost[name] != 4 {
			t.Errorf("%s cost %d writes, want 4", name, cost[name])
		}
	}
}
