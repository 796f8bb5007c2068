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

// What a NetworkAttachmentDefinition says decides which hosts will do.
func TestCNIDefinition(t *testing.T) {
	network := func(d *v1alpha1.CNIDefinition) *v1alpha1.VirtualNetwork {
		n := &v1alpha1.VirtualNetwork{}
		n.Name = "pods"
		n.Spec.Type, n.Spec.CNI, n.Status.Definition = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{DefinitionName: "lan"}, d
		return n
	}
	inline := network(&v1alpha1.CNIDefinition{ConfigName: "san", Config: "{}", Plugins: []string{"host-local", "macvlan"}})
	for name, test := range map[string]struct {
		network *v1alpha1.VirtualNetwork
		host    v1alpha1.HypervisorStatus
		want    string
	}{
		"it has not been read":                  {network(nil), v1alpha1.HypervisorStatus{CNINetworks: []string{"lan"}, CNIPlugins: []string{"macvlan"}}, "wait for a NetworkAttachmentDefinition"},
		"it stands for the host's own":          {network(&v1alpha1.CNIDefinition{ConfigName: "lan"}), v1alpha1.HypervisorStatus{CNINetworks: []string{"lan"}}, ""},
		"it stands for one that is not there":   {network(&v1alpha1.CNIDefinition{ConfigName: "lan"}), v1alpha1.HypervisorStatus{CNINetworks: []string{"san"}}, "no CNI configuration lan"},
		"all its plugins are for definitions":   {inline, v1alpha1.HypervisorStatus{CNIPlugins: []string{"bridge", "host-local", "macvlan"}}, ""},
		"one of its plugins is not":             {inline, v1alpha1.HypervisorStatus{CNIPlugins: []string{"macvlan"}}, "not all of the CNI plugins host-local, macvlan"},
		"the host has its name, for other ones": {inline, v1alpha1.HypervisorStatus{CNINetworks: []string{"san"}}, "not all of the CNI plugins"},
	} {
		need := Of(test.network)
		if need.Any() {
			t.Errorf("%s: any host will do", name)
		}
		got := need.Lacks(&test.host)
		if (test.want == "") != (got == nil) || !strings.Contains(strings.Join(got, ""), test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	was, is := Of(network(nil)), Of(inline)
	if was.Equal(&is) {
		t.Error("to have been read is no other need")
	}
}
