package e2e

import (
	"context"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ticketMaker is a user who may make TransferTickets, and get and create the resource
// that they are about, and nothing else, until the test ends.
func ticketMaker(t *testing.T, user, resource string) client.Client {
	t.Helper()
	g := NewWithT(t)
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tickets-of-" + user}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"domus.dev"}, Resources: []string{"transfertickets", resource}, Verbs: []string{"create", "get"}},
	}}
	binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(env.dir, "kubeconfig"))
	g.Expect(err).NotTo(HaveOccurred())
	admin, err := client.New(config, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	for _, o := range []client.Object{role, binding} {
		g.Expect(admin.Create(t.Context(), o)).To(Succeed())
		t.Cleanup(func() { _ = admin.Delete(context.Background(), o) })
	}
	config.Impersonate.UserName = user
	impersonated, err := client.New(config, client.Options{Scheme: env.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	return impersonated
}
