package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/cnidefinition"
)

// definitions adds the kind NetworkAttachmentDefinition to the cluster, as far as it
// is needed, until the test ends.
func definitions(t *testing.T) {
	t.Helper()
	const plural = "network-attachment-definitions"
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": plural + "." + cnidefinition.Kind.Group},
		"spec": map[string]any{
			"group": cnidefinition.Kind.Group, "scope": "Namespaced",
			"names": map[string]any{"plural": plural, "singular": "network-attachment-definition", "kind": cnidefinition.Kind.Kind},
			"versions": []any{map[string]any{
				"name": cnidefinition.Kind.Version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{
					"spec": map[string]any{"type": "object", "properties": map[string]any{"config": map[string]any{"type": "string"}}},
				}}},
			}},
		},
	}}
	if err := env.Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Delete(context.Background(), crd); err != nil {
			t.Error(err)
		}
	})
}

// A guest has a card by a NetworkAttachmentDefinition and keeps it whatever becomes of
// the definition; guests that come later have one by what it says then, and wait while
// it says nothing that can be used. Each time the network says why.
func TestCNIByDefinition(t *testing.T) {
	g := NewWithT(t)
	g.Expect(env.up("--definition-plugins=bridge,host-local")).To(Succeed())
	t.Cleanup(func() { g.Expect(env.up("--definition-plugins=")).To(Succeed()) })
	before := ofCNI(t, first())
	network := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "defined"}}
	network.Spec.Type, network.Spec.CNI = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{DefinitionName: "lan"}
	createNetwork(t, network)
	names := []string{"defined-a", "defined-b", "defined-c"}
	t.Cleanup(func() {
		for _, name := range names {
			remove(t, name)
		}
	})
	on := func(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
		vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "net0", NetworkName: network.Name}}
		return vm
	}
	// says waits until the network says what its definition is, and why it is none.
	says := func(reason, words string) {
		t.Helper()
		// It is read every 30 s, and whenever the network changes.
		touch := fmt.Appendf(nil, `{"metadata":{"annotations":{"read":%q}}}`, time.Now())
		g.Expect(env.Patch(t.Context(), network.DeepCopy(), client.RawPatch("application/merge-patch+json", touch))).To(Succeed())
		g.Eventually(func() (string, error) {
			err := env.Get(t.Context(), client.ObjectKeyFromObject(network), network)
			ready := meta.FindStatusCondition(network.Status.Conditions, v1alpha1.ConditionReady)
			if err != nil || ready == nil {
				return "", err
			}
			return ready.Reason + ": " + ready.Message, nil
		}).WithTimeout(settleTime).Should(And(HavePrefix(reason+": "), ContainSubstring(words)))
	}
	// gives waits until a VM's card has an address of a subnet from its plugin.
	gives := func(name, subnet string) *v1alpha1.VirtualMachine {
		t.Helper()
		assigned := func(vm *v1alpha1.VirtualMachine) (out []string) {
			for _, i := range vm.Status.Interfaces {
				out = append(out, i.Assigned...)
			}
			return out
		}
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(assigned, ConsistOf(HavePrefix(subnet))))
		vm, err := get(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		return vm
	}
	message := func(vm *v1alpha1.VirtualMachine) string { return vm.Status.Message }

	create(t, on(newAgentGuest(t, names[0], nil)))
	says(v1alpha1.ReasonDefinitionNotFound, "install the CustomResourceDefinition of k8s.cni.cncf.io/v1")
	definitions(t)
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(cnidefinition.Kind)
	object.SetNamespace(namespace)
	object.SetName("lan")
	define := func(config string) {
		t.Helper()
		g.Expect(unstructured.SetNestedField(object.Object, config, "spec", "config")).To(Succeed())
		if object.GetUID() == "" {
			g.Eventually(func() error { return env.Create(t.Context(), object) }).WithTimeout(settleTime).Should(Succeed())
			return
		}
		g.Expect(env.Update(t.Context(), object)).To(Succeed())
	}
	bridge := func(name, subnet string) string {
		return fmt.Sprintf(`{"cniVersion": "1.0.0", "type": "bridge", "bridge": %q, "isGateway": true, "isDefaultGateway": true,
			"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "%s0/24"}]]}}`, name, first().dir+"/host/cni/ipam", subnet)
	}
	define(bridge("lan0", "10.243.0."))
	says(v1alpha1.ReasonDefinitionForbidden, v1alpha1.PolicyLevelLabel)
	g.Eventually(get(t, names[0])).WithTimeout(settleTime).Should(WithTransform(message, ContainSubstring("VirtualNetwork defined says what is wrong")))
	privileged(t)
	says(v1alpha1.ReasonNotNeeded, "")

	a := gives(names[0], "10.243.0.")
	g.Eventually(get(t, a.Name)).WithTimeout(bootTime).Should(WithTransform(connected, Equal(metav1.ConditionTrue)))
	reaches := "ip -4 address show dev eth0 | grep -q ' 10[.]243[.]0[.]' && ping -c 1 -W 20 10.243.0.1"
	succeeds(t, a, "BY-DEFINITION", reaches)

	define(bridge("lan1", "10.243.1."))
	says(v1alpha1.ReasonNotNeeded, "")
	g.Eventually(func() (string, error) {
		err := env.Get(t.Context(), client.ObjectKeyFromObject(network), network)
		if network.Status.Definition == nil {
			return "", err
		}
		return network.Status.Definition.Config, err
	}).WithTimeout(settleTime).Should(ContainSubstring("10.243.1.0/24"))
	create(t, on(newGuest(t, names[1])))
	gives(names[1], "10.243.1.")

	define(strings.Replace(bridge("lan2", "10.243.2."), `"bridge"`, "5", 1))
	says(v1alpha1.ReasonDefinitionInvalid, "lan")
	g.Expect(env.Delete(t.Context(), object)).To(Succeed())
	says(v1alpha1.ReasonDefinitionNotFound, "no NetworkAttachmentDefinition lan in the namespace: create it")
	create(t, on(newGuest(t, names[2])))
	g.Eventually(get(t, names[2])).WithTimeout(settleTime).Should(WithTransform(message, ContainSubstring("VirtualNetwork defined says what is wrong")))
	gives(a.Name, "10.243.0.")
	succeeds(t, a, "WITHOUT-DEFINITION", reaches)

	// What it was made with takes it away.
	for _, name := range names {
		remove(t, name)
	}
	g.Eventually(func() []string { return ofCNI(t, first()) }).WithTimeout(3 * settleTime).Should(Equal(before))
}
