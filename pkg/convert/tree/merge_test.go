package tree_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/tree"
)

// inJSON is a YAML document in JSON; nothing for "".
func inJSON(t testing.TB, document string) []byte {
	t.Helper()
	if document == "" {
		return nil
	}
	raw, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestMerge(t *testing.T) {
	for name, test := range map[string]struct{ over, under, want string }{
		"neither":                      {},
		"only the defaults":            {under: `{onCrash: restart}`, want: `{onCrash: restart}`},
		"only the values":              {over: `{onCrash: restart}`, want: `{onCrash: restart}`},
		"a value before its default":   {`{onCrash: restart}`, `{onCrash: destroy, onReboot: restart}`, `{onCrash: restart, onReboot: restart}`},
		"objects key by key":           {`{os: {type: {machine: q35}}}`, `{os: {type: {machine: pc, arch: x86_64}, firmware: efi}}`, `{os: {type: {machine: q35, arch: x86_64}, firmware: efi}}`},
		"a list replaces a list":       {`{devices: {rngs: [{model: virtio}]}}`, `{devices: {rngs: [{model: a}, {model: b}], inputs: [{type: tablet}]}}`, `{devices: {rngs: [{model: virtio}], inputs: [{type: tablet}]}}`},
		"an empty list too":            {`{devices: {rngs: []}}`, `{devices: {rngs: [{model: virtio}]}}`, `{devices: {rngs: []}}`},
		"a list in a list is nobody's": {`{sysInfo: [{fwCfg: {}}]}`, `{sysInfo: [{smbios: {system: {}}}]}`, `{sysInfo: [{fwCfg: {}}]}`},
		"one variant, not two":         {`{launchSecurity: {sevsnp: {policy: 1}}}`, `{launchSecurity: {sev: {policy: 3}}}`, `{launchSecurity: {sevsnp: {policy: 1}}}`},
		"the same variant is merged":   {`{launchSecurity: {sev: {policy: 1}}}`, `{launchSecurity: {sev: {policy: 3, cBitPos: 47}}}`, `{launchSecurity: {sev: {policy: 1, cBitPos: 47}}}`},
		"a default variant is kept":    {`{onCrash: restart}`, `{launchSecurity: {sev: {policy: 3}}}`, `{onCrash: restart, launchSecurity: {sev: {policy: 3}}}`},
		"a key that nobody knows":      {`{nonsense: {a: 1}}`, `{nonsense: {b: 18446744073709551615}}`, `{nonsense: {a: 1, b: 18446744073709551615}}`},
		"an object before a word":      {`{os: {firmware: efi}}`, `{os: nonsense}`, `{os: {firmware: efi}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tree.Merge[libvirtxml.Domain](inJSON(t, test.over), inJSON(t, test.under))
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			if test.want != "" {
				// Both have sorted keys.
				want = inJSON(t, test.want)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{`[]`, `"x"`, `{`, `{} {}`, `null`} {
		if _, err := tree.Merge[libvirtxml.Domain]([]byte(bad), nil); err == nil {
			t.Errorf("%s was merged", bad)
		}
		if _, err := tree.Without(nil, []byte(bad)); err == nil {
			t.Errorf("%s was taken out", bad)
		}
	}
}

func TestWithout(t *testing.T) {
	for name, test := range map[string]struct{ document, other, want string }{
		"nothing":             {},
		"all of it":           {`{os: {firmware: efi}}`, `{os: {firmware: efi}}`, ``},
		"what is equal":       {`{os: {firmware: efi, type: {arch: x86_64}}}`, `{os: {firmware: efi}, onCrash: restart}`, `{os: {type: {arch: x86_64}}}`},
		"not what differs":    {`{os: {firmware: efi}}`, `{os: {firmware: bios}}`, `{os: {firmware: efi}}`},
		"not a part of lists": {`{devices: {rngs: [{model: a}, {model: b}]}}`, `{devices: {rngs: [{model: a}]}}`, `{devices: {rngs: [{model: a}, {model: b}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tree.Without(inJSON(t, test.document), inJSON(t, test.other))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(inJSON(t, test.want)), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// drawDomain draws a document that can be read: keys at random from some of
// libvirt's schema, with objects, lists, flags, numbers and variants among them.
func drawDomain(t *rapid.T, label string) []byte {
	choices := map[string][]any{
		"title":             {"a", "b"},
		"onCrash":           {"destroy", "restart"},
		"ioThreads":         {1, 2},
		"os.firmware":       {"efi", "bios"},
		"os.type.arch":      {"x86_64", "aarch64"},
		"os.type.machine":   {"q35", "pc"},
		"cpu.mode":          {"host-model", "custom"},
		"cpu.features":      {[]any{}, []any{map[string]any{"name": "avx2"}}, []any{map[string]any{"name": "avx2"}, map[string]any{"name": "sse"}}},
		"features.acpi":     {true},
		"features.apic.eoi": {"on", "off"},
		"devices.rngs":      {[]any{map[string]any{"model": "virtio"}}, []any{}},
		"devices.disks":     {[]any{map[string]any{"device": "disk"}}, []any{map[string]any{"device": "cdrom"}}},
		"clock.offset":      {"utc", "localtime"},
	}
	out := map[string]any{}
	put := func(path []string, value any) {
		at := out
		for _, key := range path[:len(path)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		at[path[len(path)-1]] = value
	}
	for _, path := range rapid.SliceOfDistinct(rapid.SampledFrom(slices.Sorted(maps.Keys(choices))), rapid.ID[string]).Draw(t, label) {
		put(strings.Split(path, "."), rapid.SampledFrom(choices[path]).Draw(t, label+" "+path))
	}
	if variant := rapid.SampledFrom([]string{"", "sev", "sevsnp"}).Draw(t, label+" variant"); variant != "" {
		put([]string{"launchSecurity", variant, "policy"}, rapid.IntRange(1, 3).Draw(t, label+" policy"))
	}
	raw, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestMergeProperties(t *testing.T) {
	merge := func(t *rapid.T, over, under []byte) []byte {
		out, err := tree.Merge[libvirtxml.Domain](over, under)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawDomain(t, "a"), drawDomain(t, "b"), drawDomain(t, "c")
		merged := merge(t, a, b)
		same := func(what string, want, got []byte) {
			if string(want) != string(got) {
				t.Fatalf("%s: %s, want %s", what, got, want)
			}
		}
		same("merged twice", merged, merge(t, merged, b))
		same("over itself", a, merge(t, a, a))
		same("over nothing", a, merge(t, a, []byte(`{}`)))
		same("under nothing", b, merge(t, []byte(`{}`), b))
		same("in another order", merge(t, a, merge(t, b, c)), merge(t, merged, c))
		own, err := tree.Without(merged, b)
		if err != nil {
			t.Fatal(err)
		}
		same("taken apart and merged again", merged, merge(t, own, b))
		if _, errs := tree.Decode[libvirtxml.Domain](merged, field.NewPath("d")); len(errs) > 0 {
			t.Fatalf("%s over %s cannot be read: %v", a, b, errs)
		}
		// All that a says stands, lists as they are.
		rest, err := tree.Without(a, merged)
		if err != nil || rest != nil {
			t.Fatalf("%s of %s is lost in %s, %v", rest, a, merged, err)
		}
	})
}

func TestParts(t *testing.T) {
	document := `
os: {type: {arch: x86_64}, firmware: efi}
features: {acpi: true, hyperV: {relaxed: {state: "on"}}}
devices: {disks: [{device: disk, target: {dev: vda}}], emulator: /qemu}
memoryBacking: {}
`
	doc, errs := tree.Decode[libvirtxml.Domain](inJSON(t, document), field.NewPath("d"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for depth, want := range map[int]map[string]string{
		0: {
			"os.type.arch": `"x86_64"`, "os.firmware": `"efi"`, "features.acpi": `true`, "features.hyperV.relaxed.state": `"on"`,
			"devices.disks": `[{"device":"disk","target":{"dev":"vda"}}]`, "devices.emulator": `"/qemu"`, "memoryBacking": `{}`,
		},
		2: {
			"os.type": `{"arch":"x86_64"}`, "os.firmware": `"efi"`, "features.acpi": `true`, "features.hyperV": `{"relaxed":{"state":"on"}}`,
			"devices.disks": `[{"device":"disk","target":{"dev":"vda"}}]`, "devices.emulator": `"/qemu"`, "memoryBacking": `{}`,
		},
		1: {
			"os": `{"type":{"arch":"x86_64"},"firmware":"efi"}`, "features": `{"acpi":true,"hyperV":{"relaxed":{"state":"on"}}}`,
			"devices": `{"emulator":"/qemu","disks":[{"device":"disk","target":{"dev":"vda"}}]}`, "memoryBacking": `{}`,
		},
	} {
		got, err := tree.Parts(doc, depth)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(fmt.Sprintf("depth %d: ", depth), diff)
		}
	}
}
