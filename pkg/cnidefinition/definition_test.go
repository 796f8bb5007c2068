package cnidefinition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	const list = `{"cniVersion": "1.0.0", "name": "san", "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "tuning"}, {"type": "bridge"}]}`
	for name, test := range map[string]struct {
		config string
		want   Definition
	}{
		"the host's own of the object's name": {"", Definition{Name: "lan"}},
		"one plugin, called by the object":    {`{"type": "macvlan", "master": "eth1"}`, Definition{Name: "lan", Config: `{"master":"eth1","type":"macvlan"}`, Plugins: []string{"macvlan"}}},
		"a list with a name of its own":       {list, Definition{Name: "san", Config: `{"cniVersion":"1.0.0","name":"san","plugins":[{"ipam":{"type":"host-local"},"type":"bridge"},{"type":"tuning"},{"type":"bridge"}]}`, Plugins: []string{"bridge", "host-local", "tuning"}}},
		// A plugin that reads it as it is would have both, one into the other.
		"a key that is there twice": {`{"type": "bridge", "mtu": 9007199254740993, "ipam": {"type": "evil"}, "ipam": {"x": 1}}`, Definition{Name: "lan", Config: `{"ipam":{"x":1},"mtu":9007199254740993,"type":"bridge"}`, Plugins: []string{"bridge"}}},
	} {
		got, err := Read("lan", test.config)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	many := make([]string, maxPlugins+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"type": "p%d"}`, i)
	}
	for name, test := range map[string]struct{ name, config, want string }{
		"half of one":                     {"lan", `{"type": "bridge"`, "spec.config: unexpected EOF"},
		"no object":                       {"lan", `["bridge"]`, "is no object"},
		"more than one":                   {"lan", `{"type": "bridge"}{"type": "evil"}`, "more after its end"},
		"no plugin":                       {"lan", `{"plugins": []}`, "names no plugin"},
		"a type that is no name":          {"lan", `{"type": 7}`, "type 7"},
		"a type that leads out of folder": {"lan", `{"type": "../../tmp/x"}`, "type ../../tmp/x"},
		"a network that leads out of one": {"lan", `{"name": "../x", "type": "bridge"}`, `name "../x"`},
		"a network without a name":        {"lan", `{"name": "", "type": "bridge"}`, `name ""`},
		"an object's name that is none":   {strings.Repeat("a", 64), ``, "at most 63"},
		"too long":                        {"lan", `{"type": "` + strings.Repeat("a", MaxConfig) + `"}`, "at most 16384"},
		"too many":                        {"lan", `{"plugins": [` + strings.Join(many, ",") + `]}`, "names 33 plugins"},
	} {
		if _, err := Read(test.name, test.config); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A plugin is found wherever a plugin's own code would find it.
func TestPluginsOverlooksNone(t *testing.T) {
	for _, config := range []string{
		`{"type": "a", "ipam": {"type": "b"}}`,
		`{"type": "a", "delegate": {"ipam": {"type": "b"}}}`,
		`{"type": "a", "delegates": [{"x": [{"TYPE": "b"}]}]}`,
		`{"type": "a", "ipam": {"Type": "b"}}`,
		`{"type": "a", "ipam": {"type": "b"}, "args": {"cni": {"type": "b"}}}`,
		"{\"type\": \"a\", \"ipam\": {\"\\u0074ype\": \"b\"}}",
	} {
		got, err := Plugins(config)
		if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", config, err, diff)
		}
	}
}

// FuzzPlugins holds what is found against what encoding/json gives to a plugin.
func FuzzPlugins(f *testing.F) {
	f.Add(`{"type": "a", "ipam": {"tYpe": "b"}}`)
	f.Add(`{"type": "a", "ipam": {"type": "b"}, "ipam": {}, "Ipam": {"type": "c"}}`)
	f.Add(`{"ſype": "a", "type": "b", "type": "c"}`)
	f.Fuzz(func(t *testing.T, config string) {
		d, err := Read("lan", config)
		if err != nil {
			return
		}
		all, config := d.Plugins, d.Config
		var read struct {
			Type string `json:"type"`
			IPAM struct {
				Type string `json:"type"`
			} `json:"ipam"`
		}
		if json.Unmarshal([]byte(config), &read) != nil {
			return
		}
		for _, name := range []string{read.Type, read.IPAM.Type} {
			if name != "" && !strings.Contains(","+strings.Join(all, ",")+",", ","+name+",") {
				t.Errorf("%q runs, and %v were found", name, all)
			}
		}
	})
}
