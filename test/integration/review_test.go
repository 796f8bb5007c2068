package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// reviewOf returns a review in a namespace.
func reviewOf(ns string, spec v1alpha1.PlacementReviewSpec) *v1alpha1.PlacementReview {
	r := &v1alpha1.PlacementReview{Spec: spec}
	r.Namespace, r.GenerateName = ns, "review-"
	return r
}

func ofVM(ns, name string) *v1alpha1.PlacementReview {
	return reviewOf(ns, v1alpha1.PlacementReviewSpec{VirtualMachineName: name})
}

func ofTemplate(vm *v1alpha1.VirtualMachine) *v1alpha1.PlacementReview {
	return reviewOf(vm.Namespace, v1alpha1.PlacementReviewSpec{Template: &v1alpha1.VirtualMachineTemplate{Labels: vm.Labels, Spec: vm.Spec}})
}

// answer returns what the webhook says to a review. It asks again while hosts
// are not read yet, and while the API server cannot call the webhook yet.
func answer(t *testing.T, review *v1alpha1.PlacementReview) *v1alpha1.PlacementReviewStatus {
	t.Helper()
	var err error
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		asked := review.DeepCopy()
		if err = suite.client.Create(t.Context(), asked, client.DryRunAll); err == nil {
			if asked.Status == nil {
				t.Fatal("the review came back without an answer")
			}
			return asked.Status
		}
		if !apierrors.IsServiceUnavailable(err) && !strings.Contains(err.Error(), "failed calling webhook") {
			break
		}
	}
	t.Fatalf("the review was not answered: %v", err)
	return nil
}

func TestReviews(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	create(t, newVM(ns, "placed", 6, 4))
	on := waitVM(t, ns, "placed", bound).Status.Placement.NodeName
	create(t, newVM(ns, "pending", 10, 4))
	waitVM(t, ns, "pending", waiting("Unschedulable", "need 10 vCPUs"))

	t.Run("of a VM that is placed", func(t *testing.T) {
		s := answer(t, ofVM(ns, "placed"))
		// Its own place counts as free.
		if s.NodeName != on || s.Feasible != 2 || len(s.Candidates) != 2 || len(s.Candidates[0].Plugins) == 0 || s.Message == "" {
			t.Errorf("answered %+v", s)
		}
	})
	t.Run("of a VM that waits", func(t *testing.T) {
		s := answer(t, ofVM(ns, "pending"))
		if s.NodeName != "" || s.Feasible != 0 || len(s.Candidates) != 0 || len(s.Changes) == 0 {
			t.Errorf("answered %+v", s)
		}
		found := false
		for _, r := range s.Rejections {
			found = found || r.Plugin == "HostResources" && r.Hosts == 2 && strings.Join(r.NodeNames, " ") == strings.Join(names, " ")
		}
		if !found {
			t.Errorf("no rejection by HostResources: %+v", s.Rejections)
		}
	})
	t.Run("of a VM that does not exist", func(t *testing.T) {
		s := answer(t, ofTemplate(newVM(ns, "", 4, 4)))
		if s.NodeName != "" || s.Feasible != 1 || len(s.Candidates) != 1 || s.Candidates[0].NodeName == on {
			t.Errorf("answered %+v", s)
		}
	})
	t.Run("of how many more fit", func(t *testing.T) {
		r := ofTemplate(newVM(ns, "", 2, 4))
		r.Spec.Question = v1alpha1.PlacementFit
		s := answer(t, r)
		if s.Fit == nil || s.Fit.Count != 5 || s.Fit.Largest == nil || s.Fit.Largest.CPU < 2 || len(s.Fit.Hosts) != 2 {
			t.Errorf("answered %+v", s)
		}
	})
	t.Run("keeps nothing of a status that the caller wrote", func(t *testing.T) {
		r := ofVM(ns, "pending")
		r.Status = &v1alpha1.PlacementReviewStatus{NodeName: "forged", Message: "mine"}
		if s := answer(t, r); s.NodeName != "" || s.Message == "mine" {
			t.Errorf("answered %+v", s)
		}
	})
	t.Run("reserves nothing", func(t *testing.T) {
		create(t, newVM(ns, "after", 8, 4))
		waitVM(t, ns, "after", bound)
	})
}

func TestReviewsThatAreRefused(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	answer(t, ofTemplate(newVM(ns, "", 1, 1)))
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"about nothing":              {"{}", []string{"give either virtualMachineName or template"}},
		"about a VM that is not":     {"{virtualMachineName: gone}", []string{`"gone" not found`}},
		"with zero CPUs":             {"{template: {spec: {resources: {cpu: 0, memory: 1Gi}}}}", []string{"spec.template.spec.resources.cpu"}},
		"with a host path":           {"{template: {spec: {resources: {cpu: 1, memory: 1Gi}, domain: {os: {kernel: /boot/vmlinuz}}}}}", []string{"spec.template.spec.domain.os.kernel", "domus.dev/policy-level"}},
		"with a priority class":      {"{template: {spec: {resources: {cpu: 1, memory: 1Gi}, priorityClassName: nobody}}}", []string{"spec.template.spec.priorityClassName", "nobody"}},
		"for a scheduler that is no": {"{template: {spec: {schedulerName: none, resources: {cpu: 1, memory: 1Gi}}}}", []string{"spec.schedulerName", "vm-packing"}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &unstructured.Unstructured{}
			document := fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: PlacementReview, metadata: {name: bad, namespace: %s}, spec: %s}", ns, test.spec)
			if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
				t.Fatal(err)
			}
			err := suite.client.Create(t.Context(), obj, client.DryRunAll, client.FieldValidation("Strict"))
			for _, want := range test.want {
				refusedBecause(t, name, err, want)
			}
		})
	}
}

func TestReviewsAreNotStored(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	r := ofTemplate(newVM(ns, "", 1, 1))
	answer(t, r)
	refusedBecause(t, "a create that is no dry run", suite.client.Create(t.Context(), r.DeepCopy()), "kubectl create --dry-run=server")
	list := &v1alpha1.PlacementReviewList{}
	if err := suite.client.List(t.Context(), list); err != nil || len(list.Items) != 0 {
		t.Errorf("%d reviews are stored, %v", len(list.Items), err)
	}
}

func TestReviewsHoldCallersToTheirRights(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 1, mid)
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", bound)
	answer(t, ofVM(ns, "vm"))
	c := clientOf(t, "review-jane")

	ask := func(r *v1alpha1.PlacementReview) error { return c.Create(t.Context(), r.DeepCopy(), client.DryRunAll) }
	template := ofTemplate(newVM(ns, "", 1, 1))
	refusedBecause(t, "a caller without rights", ask(ofVM(ns, "vm")), `cannot create resource "placementreviews"`)

	bind(t, ns, "review-jane", rbacv1.RoleRef{Kind: "ClusterRole", Name: "domus:placement-reviewer"})
	eventuallyRefused(t, func() error { return ask(ofVM(ns, "vm")) }, `cannot get resource "virtualmachines"`)
	refusedBecause(t, "whether a VM exists", ask(ofVM(ns, "gone")), `cannot get resource "virtualmachines"`)
	refusedBecause(t, "a template", ask(template), `cannot create resource "virtualmachines"`)

	grant(t, ns, "review-jane", "get")
	eventuallyAllowed(t, func() error { return ask(ofVM(ns, "vm")) })
	refusedBecause(t, "a template", ask(template), `cannot create resource "virtualmachines"`)

	grant(t, ns, "review-jane", "create")
	eventuallyAllowed(t, func() error { return ask(template) })
}

func TestReviewsAreAnsweredByAReplicaThatDoesNotLead(t *testing.T) {
	leader := startScheduler(t, schedulerOptions{leaderElect: true, noWebhook: true})
	leader.waitLog("Successfully acquired lease")
	standby := startScheduler(t, schedulerOptions{leaderElect: true})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	create(t, newVM(ns, "vm", 8, 1))
	on := waitVM(t, ns, "vm", bound).Status.Placement.NodeName
	for deadline := time.Now().Add(eventually); ; time.Sleep(100 * time.Millisecond) {
		s := answer(t, ofTemplate(newVM(ns, "", 8, 1)))
		if s.Feasible == 1 && s.Candidates[0].NodeName != on {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("answered %+v; the hosts are %v, one of which is taken", s, names)
		}
	}
	if strings.Contains(string(standby.read()), "Successfully acquired lease") {
		t.Error("it was the leader that answered")
	}
}

// With delayCacheUntilActive a replica that does not lead knows no host: it must
// not say that there are none.
func TestReviewsAreNotAnsweredByAReplicaThatHasReadNothing(t *testing.T) {
	leader := startScheduler(t, schedulerOptions{leaderElect: true, noWebhook: true})
	leader.waitLog("Successfully acquired lease")
	launchScheduler(t, schedulerOptions{leaderElect: true, configure: func(config map[string]any) { config["delayCacheUntilActive"] = true }})
	waitWebhook(t)
	r := ofTemplate(newVM(namespace(t, nil), "", 1, 1))
	eventuallyRefused(t, func() error { return suite.client.Create(t.Context(), r.DeepCopy(), client.DryRunAll) }, "not all been read yet")

	leader.kill()
	answer(t, r)
}

// clientOf is a client of a user without any rights.
func clientOf(t *testing.T, user string) client.Client {
	t.Helper()
	c, err := client.New(configOf(t, user), client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func configOf(t *testing.T, user string, groups ...string) *rest.Config {
	t.Helper()
	cfg, err := suite.plane.as(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// grant lets a user do verb to the VMs of a namespace.
func grant(t *testing.T, ns, user, verb string) {
	t.Helper()
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{APIGroups: []string{"domus.dev"}, Resources: []string{"virtualmachines"}, Verbs: []string{verb}}}}
	role.Namespace, role.Name = ns, user+"-"+verb
	create(t, role)
	bind(t, ns, user, rbacv1.RoleRef{Kind: "Role", Name: role.Name})
}

func bind(t *testing.T, ns, user string, role rbacv1.RoleRef) {
	t.Helper()
	binding := &rbacv1.RoleBinding{RoleRef: role, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user, APIGroup: rbacv1.GroupName}}}
	binding.RoleRef.APIGroup = rbacv1.GroupName
	binding.Namespace, binding.GenerateName = ns, "test-"
	create(t, binding)
}

// eventuallyAllowed waits until a new right has come into force.
func eventuallyAllowed(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Errorf("still refused: %v", err)
}

func eventuallyRefused(t *testing.T, try func() error, text string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = try(); err != nil && strings.Contains(err.Error(), text) {
			return
		}
	}
	t.Errorf("%v; want a refusal with %q", err, text)
}

// kubeconfigOf writes a kubeconfig and returns its path.
func kubeconfigOf(t *testing.T, cfg *rest.Config) string {
	t.Helper()
	path := t.TempDir() + string(os.PathSeparator) + kubeconfigName
	if err := writeKubeconfig(path, cfg); err != nil {
		t.Fatal(err)
	}
	return path
}
