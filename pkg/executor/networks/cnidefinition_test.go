package networks

import (
	"context"
	"errors"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// A card on a network that names a NetworkAttachmentDefinition is connected once that
// has been read, and by its own configuration in namespaces of level privileged alone.
func TestACardByADefinition(t *testing.T) {
	inline := &v1alpha1.CNIDefinition{ConfigName: "san", Config: "{}", Plugins: []string{"macvlan"}}
	for name, test := range map[string]struct {
		definition *v1alpha1.CNIDefinition
		level      v1alpha1.PolicyLevel
		err        error
		tap, waits string
	}{
		"it has not been read":         {nil, v1alpha1.PolicyPrivileged, nil, "", "VirtualNetwork lan waits for NetworkAttachmentDefinition other: it says in its status"},
		"it stands for the host's own": {&v1alpha1.CNIDefinition{ConfigName: "other"}, v1alpha1.PolicyRestricted, nil, "tap-web-a-other", ""},
		"its own":                      {inline, v1alpha1.PolicyPrivileged, nil, "tap-web-a-san{}", ""},
		"its own, of a namespace that has another level by now": {inline, v1alpha1.PolicyRestricted, nil, "", "VirtualNetwork lan: NetworkAttachmentDefinition other: spec.config is not allowed at policy level restricted"},
		"its own, and the level cannot be known":                {inline, "", errors.New("the API server is away"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := virtualNetwork(func(n *v1alpha1.VirtualNetwork) {
				n.Spec = v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkCNI, CNI: &v1alpha1.CNINetwork{DefinitionName: "other"}}
				n.Status.Definition = test.definition
			})
			k := New(Options{Node: "h", Networks: all{"lan": n}, CNI: connector{}, Levels: func(context.Context, string) (v1alpha1.PolicyLevel, error) { return test.level, test.err }})
			vm := &v1alpha1.VirtualMachine{}
			vm.Namespace, vm.Name = "shop", "web"
			vm.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "a", NetworkName: "lan"}}
			got, err := k.Gate(t.Context(), vm)
			if !errors.Is(err, test.err) || got.Cards["a"].Tap != test.tap || !strings.HasPrefix(got.Waiting["a"], test.waits) || (test.waits == "") != (got.Waiting["a"] == "") {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
