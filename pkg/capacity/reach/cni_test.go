package reach

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// A network of type cni is where the host's configuration of that name is for VMs.
func TestCNI(t *testing.T) {
	network := func(config string) *v1alpha1.VirtualNetwork {
		n := &v1alpha1.VirtualNetwork{}
		n.Name = "pods"
		n.Spec.Type, n.Spec.CNI = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{ConfigName: config}
		return n
	}
	need := Of(network("lan"))
	if need.Any() {
		t.Error("any host will do")
	}
	if words := need.Lacks(&v1alpha1.HypervisorStatus{CNINetworks: []string{"san", "lan"}}); words != nil {
		t.Errorf("a host that offers it: %v", words)
	}
	if words := need.Lacks(&v1alpha1.HypervisorStatus{CNINetworks: []string{"san"}}); len(words) != 1 || !strings.Contains(words[0], "no CNI configuration lan") || !strings.Contains(words[0], "VirtualNetwork pods") {
		t.Errorf("a host that does not: %v", words)
	}
	if other := Of(network("san")); need.Equal(&other) {
		t.Error("another configuration is the same need")
	}
}
