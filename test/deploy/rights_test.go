package deploy

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// unused says of each right that TestInstallation does not use why it is granted:
// which part of the program uses it, and where that is tried.
//
//go:embed testdata/unused.yaml
var unused []byte

// sometimes are rights of which chance says whether a run uses them.
const sometimes = "sometimes"

// right is one verb on one kind, for one program: "vm-executor domus.dev/hypervisors
// get", or "... in kube-node-lease" where a Role gives it.
type right string

func rightOf(who, group, resource, verb string) right {
	if group != "" {
		resource = group + "/" + resource
	}
	return right(who + " " + resource + " " + verb)
}

// in is the right in one namespace alone.
func (r right) in(namespace string) right { return r + right(" in "+namespace) }

// rights compares what was asked of the API server with what is granted.
func (p *plane) rights(t *testing.T, all []*unstructured.Unstructured) {
	asked := map[right]bool{}
	for _, e := range p.audited(t) {
		if byTest(e) {
			continue
		}
		who := e.User.Username[strings.LastIndex(e.User.Username, ":")+1:]
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		r := rightOf(who, e.ObjectRef.APIGroup, resource, e.Verb)
		switch {
		case e.Annotations["authorization.k8s.io/decision"] == "allow":
			asked[r], asked[r.in(e.ObjectRef.Namespace)] = true, true
		case !tried(e):
			t.Errorf("was refused: %s %s (%s)", r, e.RequestURI, e.Annotations["authorization.k8s.io/reason"])
		}
	}
	granted := grantedTo(t, all)
	var reasons map[string]map[right]string
	if err := yaml.UnmarshalStrict(unused, &reasons); err != nil {
		t.Fatal(err)
	}
	excused := map[right]bool{}
	for _, group := range slices.Sorted(maps.Keys(reasons)) {
		for r, why := range reasons[group] {
			excused[r] = true
			switch {
			case len(why) < 10:
				t.Errorf("unused.yaml gives no reason for %s", r)
			case !granted[r]:
				t.Errorf("unused.yaml has %s, which nobody is granted: take it out", r)
			case asked[r] && group != sometimes:
				t.Errorf("unused.yaml has %s, which was used: take it out", r)
			}
		}
	}
	for _, r := range slices.Sorted(maps.Keys(granted)) {
		if !asked[r] && !excused[r] {
			t.Errorf("%q is granted and was not used: take it away, or say in testdata/unused.yaml what needs it", r)
		}
	}
	used := 0
	for r := range granted {
		if asked[r] {
			used++
		}
	}
	t.Logf("%d rights, %d of them used here", len(granted), used)
}

// byTest says whether the test asked, with a token of a program: that program needs no
// right for it.
func byTest(e event) bool {
	return strings.HasPrefix(e.UserAgent, filepath.Base(os.Args[0])+"/")
}

// tried says whether a refusal is of the test's own making: executors of one service
// account are granted no Secrets of VMs (docs/adr/0025), and that they are not is tried.
func tried(e event) bool {
	return e.ObjectRef.Resource == "secrets" && e.ObjectRef.Name == "told"
}

// grantedTo are the rights of Domus' service accounts by the roles among the objects.
func grantedTo(t *testing.T, all []*unstructured.Unstructured) map[right]bool {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	key := func(kind, namespace, name string) string {
		if kind == "ClusterRole" {
			namespace = ""
		}
		return fmt.Sprintf("%s %s/%s", kind, namespace, name)
	}
	for _, u := range all {
		switch u.GetKind() {
		case "ClusterRole":
			rules[key("ClusterRole", "", u.GetName())] = as[rbacv1.ClusterRole](t, u).Rules
		case "Role":
			rules[key("Role", u.GetNamespace(), u.GetName())] = as[rbacv1.Role](t, u).Rules
		}
	}
	granted := map[right]bool{}
	for _, u := range all {
		if u.GetKind() != "ClusterRoleBinding" && u.GetKind() != "RoleBinding" {
			continue
		}
		binding := as[rbacv1.ClusterRoleBinding](t, u)
		for _, s := range binding.Subjects {
			if s.Kind != "ServiceAccount" || s.Namespace != system {
				continue
			}
			for _, rule := range rules[key(binding.RoleRef.Kind, u.GetNamespace(), binding.RoleRef.Name)] {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						for _, verb := range rule.Verbs {
							if slices.Contains([]string{group, resource, verb}, "*") {
								t.Errorf("%s is granted all of something: %+v", s.Name, rule)
							}
							r := rightOf(s.Name, group, resource, verb)
							if u.GetKind() == "RoleBinding" {
								r = r.in(u.GetNamespace())
							}
							granted[r] = true
						}
					}
				}
			}
		}
	}
	return granted
}
