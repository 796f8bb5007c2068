package hostconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationThatHostsShare(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"its address":          {`hosts: [{transfer: {bindAddress: ":8445"}}]`, ""},
		"another address":      {`hosts: [{transfer: {bindAddress: ":8445", advertiseAddress: 192.0.2.8}}]`, "hosts[0].transfer.advertiseAddress"},
		"the name is left out": {"hosts: [{mode: dedicated}]", ""},
		"the same name":        {"hosts: [{nodeName: host-7}]", ""},
		"another name":         {"hosts: [{nodeName: host-8}]", "hosts[0].nodeName"},
		"two hosts":            {"hosts: [{nodeName: host-7}, {nodeName: host-8}]", "--node-name host-7 is for a file that describes one host"},
		"no host":              {"hosts: []", "--node-name host-7 is for a file that describes one host"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "executor.yaml")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := ReadConfigurationOf(path, "host-7", "192.0.2.7")
			switch {
			case test.want == "" && (err != nil || config.Hosts[0].NodeName != "host-7"):
				t.Errorf("%+v, %v", config, err)
			case test.want == "" && config.Hosts[0].Transfer != nil && config.Hosts[0].Transfer.AdvertiseAddress != "192.0.2.7":
				t.Errorf("%+v", config.Hosts[0].Transfer)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}
