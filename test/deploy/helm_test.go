package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestHelmInstallsUpgradesAndLeaves takes a release through its life.
func TestHelmInstallsUpgradesAndLeaves(t *testing.T) {
	p := startPlane(t)
	do := func(args ...string) string {
		t.Helper()
		return string(run(t, nil, filepath.Join(tools, "helm"), append(args, "--kubeconfig", p.kubeconfig, "--namespace", system)...))
	}
	replicas := func() int64 {
		t.Helper()
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("apps/v1")
		u.SetKind("Deployment")
		if err := p.client.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "vm-scheduler"}, u); err != nil {
			t.Fatal(err)
		}
		n, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
		return n
	}
	definitions := func() int {
		t.Helper()
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(apiextensionsv1.SchemeGroupVersion.String())
		list.SetKind("CustomResourceDefinitionList")
		if err := p.client.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	if said := do("install", "domus", chart, "--create-namespace", "--set", "executor.enabled=true"); !strings.Contains(said, "kubectl label node NAME domus.dev/executor=daemonset") {
		t.Errorf("says after the installation:\n%s", said)
	}
	had := definitions()
	if had == 0 || replicas() != 2 {
		t.Errorf("%d definitions and %d replicas", had, replicas())
	}
	// What an earlier version did not know is there after an upgrade.
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion(apiextensionsv1.SchemeGroupVersion.String())
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("transfertickets.domus.dev")
	if err := p.client.Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	p.until(t, "a definition is gone", func() (string, bool) { return "", definitions() == had-1 })
	do("upgrade", "domus", chart, "--set", "scheduler.replicas=3")
	if definitions() != had || replicas() != 3 {
		t.Errorf("after the upgrade %d of %d definitions and %d replicas", definitions(), had, replicas())
	}
	do("uninstall", "domus")
	if definitions() != had {
		t.Errorf("after the release was removed %d of %d definitions, and so their objects, are there", definitions(), had)
	}
}
