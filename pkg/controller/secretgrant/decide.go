// Package secretgrant lets the executor of each host read the Secrets that the VMs
// bound to it name in spec.cloudInit, and no others: what kube-apiserver's node
// authorizer does for kubelets and Pods. In each namespace with such VMs a host has
// a Role that names the Secrets, and a RoleBinding.
package secretgrant

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Label marks the Roles and RoleBindings that are made here.
const Label = "domus.dev/secret-grant"

// userPrefix begins the user name of a host's executor, and the names of its Roles
// and RoleBindings, which are the same: an admission policy holds them together.
const userPrefix = "domus:executor:"

// place is a host in a namespace, as namespace and name.
type place = types.NamespacedName

// placeOf is where the VM needs Secrets; false when it needs none.
func placeOf(vm *v1alpha1.VirtualMachine) (place, bool) {
	p := vm.Status.Placement
	if p == nil || len(vm.Spec.CloudInit.Secrets()) == 0 {
		return place{}, false
	}
	return place{Namespace: vm.Namespace, Name: p.NodeName}, true
}

// secrets are the names of what VMs need on the host, sorted.
func secrets(vms []v1alpha1.VirtualMachine, host string) []string {
	var out []string
	for i := range vms {
		if at, any := placeOf(&vms[i]); any && at.Name == host {
			for _, e := range vms[i].Spec.CloudInit.Secrets() {
				out = append(out, e.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func meta(at place) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: at.Namespace, Name: userPrefix + at.Name, Labels: map[string]string{Label: ""}}
}

// role lets read the Secrets of the names, each by its name alone.
func role(at place, names []string) *rbacv1.Role {
	return &rbacv1.Role{ObjectMeta: meta(at), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: names,
	}}}
}

func binding(at place) *rbacv1.RoleBinding {
	m := meta(at)
	return &rbacv1.RoleBinding{
		ObjectMeta: m,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: m.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: m.Name}},
	}
}

// placeNamed is the place of a Role or RoleBinding; false for others.
func placeNamed(namespace, name string) (place, bool) {
	host, found := strings.CutPrefix(name, userPrefix)
	return place{Namespace: namespace, Name: host}, found
}
