package libvirt

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatGuestsCanHaveIsRead(t *testing.T) {
	data, err := os.ReadFile("testdata/domain-capabilities.xml")
	if err != nil {
		t.Fatal(err)
	}
	whole := guestCapabilities{
		cpuModels: []string{"EPYC-Rome", "qemu64"},
		hostModel: `<cpu match="exact" mode="custom">
  <model fallback="forbid">EPYC-Rome</model>
  <vendor>AMD</vendor>
  <feature policy="require" name="x2apic"></feature>
  <feature policy="require" name="tsc-deadline"></feature>
  <feature policy="disable" name="svm"></feature>
</cpu>`,
		features: []string{"tsc-deadline", "x2apic"},
		firmware: []string{"bios", "efi"}, secureBoot: true,
	}
	for name, c := range map[string]struct {
		change []string
		want   func(*guestCapabilities)
	}{
		"everything": {nil, func(*guestCapabilities) {}},
		"no firmware with Secure Boot": {
			[]string{"<enum name='secure'>\n        <value>yes</value>", "<enum name='secure'>"},
			func(g *guestCapabilities) { g.secureBoot = false },
		},
		"no efi firmware": {
			[]string{"<value>efi</value>", ""},
			func(g *guestCapabilities) { g.firmware, g.secureBoot = []string{"bios"}, false },
		},
		"no host model": {
			[]string{"'host-model' supported='yes'", "'host-model' supported='no'"},
			func(g *guestCapabilities) { g.hostModel, g.features = "", nil },
		},
		"no named models": {
			[]string{"'custom' supported='yes'", "'custom' supported='no'"},
			func(g *guestCapabilities) { g.cpuModels = nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseDomainCapabilities(strings.NewReplacer(c.change...).Replace(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			want := whole
			c.want(&want)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(guestCapabilities{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFeatureThatIsDisabledIsNone(t *testing.T) {
	got, err := parseCPUFeatures(`<cpu mode='custom' match='exact'><model>EPYC</model>
		<feature policy='require' name='sse'/><feature policy='disable' name='svm'/><feature policy='require' name='avx2'/></cpu>`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"avx2", "sse"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestGuestsAreAskedAboutForTheMostCapableMachine(t *testing.T) {
	for want, machines := range map[string][]string{
		"q35":  {"pc-i440fx-7.2", "pc-q35-7.2"},
		"virt": {"sbsa-ref", "virt-7.2"},
		"":     {"s390-ccw-virtio-7.2"},
	} {
		if got := capableMachine(machines); got != want {
			t.Errorf("%v: got %q, want %q", machines, got, want)
		}
	}
}
