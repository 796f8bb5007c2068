package cni

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
)

func TestParseAndInline(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"a list": {
			`{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "br0"}, {"type": "tuning"}]}`,
			`{"cniVersion": "1.0.0", "name": "pods", "disableCheck": false, "disableGC": false, "plugins": [{"type": "bridge", "bridge": "br0"}, {"type": "tuning"}]}`,
		},
		"one plugin": {
			`{"cniVersion": "0.4.0", "name": "pods", "type": "ptp"}`,
			`{"cniVersion": "0.4.0", "name": "pods", "disableCheck": false, "disableGC": false, "plugins": [{"cniVersion": "0.4.0", "name": "pods", "type": "ptp"}]}`,
		},
		"one without a name": {
			`{"type": "ptp"}`,
			`{"name": "asked", "disableCheck": false, "disableGC": false, "plugins": [{"name": "asked", "type": "ptp"}]}`,
		},
		"CHECK is not wanted": {
			`{"name": "pods", "disableCheck": true, "plugins": [{"type": "ptp"}]}`,
			`{"name": "pods", "disableCheck": true, "disableGC": false, "plugins": [{"type": "ptp"}]}`,
		},
	} {
		list, err := parse([]byte(c.config), "asked")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		data, err := inlined(list)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got, want any
		if err := errors.Join(json.Unmarshal(data, &got), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		again, err := parse(data, "asked")
		if err != nil {
			t.Errorf("%s: what was kept cannot be read: %v", name, err)
			continue
		}
		if twice, _ := inlined(again); string(twice) != string(data) {
			t.Errorf("%s: kept %s, then %s", name, data, twice)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, config := range []string{``, `[]`, `{"plugins": "none"}`, `{"name": 3, "type": "ptp"}`, `{"plugins": []}`, `{"plugins": [{"bridge": "br0"}]}`} {
		if list, err := parse([]byte(config), "asked"); !errors.Is(err, ErrInvalid) && fit(list) == nil {
			t.Errorf("%q was taken: %v", config, err)
		}
	}
}

// Plugins of a list may have files of their own; all of them are kept.
func TestLoadPluginsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10-pods.conflist":  `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}]}`,
		"pods/20-more.conf": `{"type": "tuning"}`,
		"30-single.conf":    `{"cniVersion": "1.0.0", "name": "single", "type": "ptp"}`,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := load(dir, "pods")
	if err != nil {
		t.Fatal(err)
	}
	data, err := inlined(list)
	if err != nil || !strings.Contains(string(data), "tuning") || !strings.Contains(string(data), "bridge") {
		t.Errorf("kept is %s: %v", data, err)
	}
	if _, err := load(dir, "single"); err != nil {
		t.Errorf("a configuration of one plugin: %v", err)
	}
	if _, err := load(dir, "other"); !errors.Is(err, ErrNoNetwork) || !strings.Contains(err.Error(), dir) {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := load(filepath.Join(dir, "empty"), "pods"); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("no folder: %v", err)
	}
}

func TestFitRefusesPluginsForPods(t *testing.T) {
	for plugin := range podPlugins {
		list, err := parse([]byte(`{"name": "pods", "plugins": [{"type": "`+plugin+`"}, {"type": "portmap"}]}`), "pods")
		if err != nil {
			t.Fatal(err)
		}
		if err := fit(list); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), plugin) {
			t.Errorf("%s: %v", plugin, err)
		}
	}
}

func TestWithMAC(t *testing.T) {
	cache := `{"kind":"cniCacheV1","more":[1],"result":{"cniVersion":"1.0.0","interfaces":[{"name":"veth0","mac":"02:00:00:00:00:01"},{"name":"net0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/x","mtu":1400}],"ips":[{"address":"10.1.2.3/24"}]}}`
	got, err := withMAC([]byte(cache), "/run/netns/x", "net0", "52:54:00:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	var have, want any
	if err := errors.Join(json.Unmarshal(got, &have), json.Unmarshal([]byte(strings.Replace(cache, "02:00:00:00:00:02", "52:54:00:00:00:01", 1)), &want)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, same := range map[string]string{
		"it says so":         strings.Replace(cache, "02:00:00:00:00:02", "52:54:00:00:00:01", 1),
		"no interfaces":      `{"kind":"cniCacheV1","result":{"cniVersion":"0.2.0","ip4":{}}}`,
		"another's sandbox":  strings.Replace(cache, "/run/netns/x", "/run/netns/y", 1),
		"no result whatever": `{}`,
	} {
		if got, err := withMAC([]byte(same), "/run/netns/x", "net0", "52:54:00:00:00:01"); err != nil || got != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := withMAC([]byte(`{"result"`), "", "", ""); err == nil {
		t.Error("half a file was taken")
	}
}

func TestWhyAConfigurationIsNotOfferedIsSaidOnce(t *testing.T) {
	dir := t.TempDir()
	write := func(file, config string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("10-lan.conflist", `{"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "bridge"}]}`)
	write("20-broken.conflist", `{"cniVersion":`)
	write("30-pods.conflist", `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "calico"}]}`)
	write("40-others.conflist", `{"cniVersion": "1.0.0", "name": "others", "plugins": []}`)
	var said []string
	m, err := New(Options{ConfigDir: dir, Networks: []string{"lan", "pods"}, StateDir: t.TempDir()}, funcr.New(func(_, line string) { said = append(said, line) }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	look := func(want ...string) {
		t.Helper()
		names, err := m.Offered()
		if diff := cmp.Diff(want, names); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	look("lan")
	look("lan")
	if all := strings.Join(said, "\n"); len(said) != 2 || !strings.Contains(all, "20-broken.conflist") || !strings.Contains(all, "Pod's labels") {
		t.Errorf("said %q", said)
	}
	write("30-pods.conflist", `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp"}]}`)
	look("lan", "pods")
	if len(said) != 2 {
		t.Errorf("said %q", said)
	}
}
