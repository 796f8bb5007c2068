package cluster

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/manifest"
	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/policy"
)

// TestTheDemosVMsAreValid reads the samples as strictly as an API server, and
// holds them against the policy of a namespace without a level.
func TestTheDemosVMsAreValid(t *testing.T) {
	samples, err := manifests.Samples()
	if err != nil {
		t.Fatal(err)
	}
	demo, err := fs.Sub(samples, demoSamples)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Load(demo)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, u := range objects {
		if u.GetKind() != "VirtualMachine" {
			continue
		}
		content, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		vm := &v1alpha1.VirtualMachine{}
		if err := yaml.UnmarshalStrict(content, vm); err != nil {
			t.Errorf("%s: %v", u.GetName(), err)
		}
		if errs := policy.CheckVirtualMachine(vm, v1alpha1.PolicyRestricted); len(errs) > 0 {
			t.Errorf("%s: %v", vm.Name, errs.ToAggregate())
		}
		for _, d := range vm.Spec.Resources.Devices {
			if d.Name != component.DeviceGPU && d.Name != component.DeviceVF {
				t.Errorf("%s asks for device %s, which no simulated host offers", vm.Name, d.Name)
			}
		}
		if vm.Namespace != DemoNamespace {
			t.Errorf("%s is in namespace %s", vm.Name, vm.Namespace)
		}
		got[vm.Spec.NodeSelector[component.KindLabel]]++
	}
	if diff := cmp.Diff(map[string]int{component.KindReal: 2, component.KindSimulated: 30}, got); diff != "" {
		t.Error(diff)
	}
}

// TestTheBaseFitsAnEmbeddedCluster looks for anything that would need a
// cluster network.
func TestTheBaseFitsAnEmbeddedCluster(t *testing.T) {
	files, err := manifests.Base()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	objects, err = manifest.Embed(objects, component.Ports{Webhook: 9443}.WebhookURL)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, u := range objects {
		if strings.HasSuffix(u.GetKind(), "WebhookConfiguration") {
			for _, webhook := range u.Object["webhooks"].([]any) {
				got[webhook.(map[string]any)["name"].(string)] = webhook.(map[string]any)["clientConfig"]
			}
		}
	}
	want := map[string]any{
		"virtualmachines.domus.dev":        map[string]any{"url": "https://127.0.0.1:9443/validate-domus-dev-v1alpha1-virtualmachine"},
		"placementreviews.domus.dev":       map[string]any{"url": "https://127.0.0.1:9443/answer-domus-dev-v1alpha1-placementreview"},
		"virtualmachine-classes.domus.dev": map[string]any{"url": "https://127.0.0.1:9443/mutate-domus-dev-v1alpha1-virtualmachine"},
		"virtualmachineclasses.domus.dev":  map[string]any{"url": "https://127.0.0.1:9443/validate-domus-dev-v1alpha1-virtualmachineclass"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
