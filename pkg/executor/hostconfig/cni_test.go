package hostconfig

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestCNIConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		cni       CNIConfiguration
		simulated bool
		want      string
	}{
		"all of the host's":        {cni: CNIConfiguration{Networks: []string{"*"}}},
		"none named":               {cni: CNIConfiguration{}, want: "cni.networks"},
		"a folder that is not one": {cni: CNIConfiguration{Networks: []string{"lan"}, ConfigDir: "net.d"}, want: "cni.configDir"},
		"plugins":                  {cni: CNIConfiguration{Networks: []string{"lan"}, PluginDirs: []string{"bin"}}, want: "cni.pluginDirs[0]"},
		"exclusive of no network":  {cni: CNIConfiguration{Networks: []string{"lan"}, ExclusiveNetworks: []string{"other"}}, want: `exclusive "other"`},
		"a simulated host":         {cni: CNIConfiguration{Networks: []string{"lan"}}, simulated: true, want: "cni: Forbidden"},
	} {
		h := HostConfiguration{NodeName: "node", CNI: &c.cni}
		if c.simulated {
			h.Simulated = &SimulatedConfiguration{}
		}
		config := &Configuration{Hosts: []HostConfiguration{h}}
		config.Default()
		said := ""
		for _, err := range config.Hosts[0].validateCNI(field.NewPath("cni")) {
			said += err.Error() + "\n"
		}
		if (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: said %q, want %q", name, said, c.want)
		}
	}
}
