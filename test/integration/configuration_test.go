package integration

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// profile is a profile of a configuration, by number.
func profile(config map[string]any, n int) map[string]any {
	return config["profiles"].([]any)[n].(map[string]any)
}

// withArgs gives the first profile's plugin these arguments.
func withArgs(plugin string, args map[string]any) func(map[string]any) {
	return func(config map[string]any) {
		p := profile(config, 0)
		p["pluginConfig"] = append(p["pluginConfig"].([]any), map[string]any{"name": plugin, "args": args})
	}
}

func TestWrongPluginArgumentsEndTheSchedulerAtStart(t *testing.T) {
	for name, test := range map[string]struct {
		plugin string
		args   map[string]any
		want   string
	}{
		"a strategy that HostNUMA has not": {
			"HostNUMA", map[string]any{"scoringStrategy": map[string]any{"type": "Best"}},
			`pluginConfig[HostNUMA].args.scoringStrategy.type: Unsupported value: "Best"`,
		},
		"a misspelled argument of HostNUMA": {
			"HostNUMA", map[string]any{"scoringStrategie": map[string]any{}},
			`unknown field "scoringStrategie"`,
		},
		"a resource that HostResources has not": {
			"HostResources", map[string]any{"scoringStrategy": map[string]any{"resources": []any{map[string]any{"name": "disk"}}}},
			`pluginConfig[HostResources].args.scoringStrategy.resources[0].name: Unsupported value: "disk"`,
		},
		"arguments where there are none": {
			"HostCompatibility", map[string]any{"strict": true},
			`pluginConfig[HostCompatibility].args`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := launchScheduler(t, schedulerOptions{noWebhook: true, configure: withArgs(test.plugin, test.args)})
			if code := s.waitEnd(); code == 0 {
				t.Error("it ended without an error")
			}
			// The log quotes what it is told.
			if log := strings.ReplaceAll(string(s.read()), `\"`, `"`); !strings.Contains(log, test.want) {
				t.Errorf("it does not say %q:\n%s", test.want, log)
			}
		})
	}
}

func TestProfileWithoutHostNUMASaysWhatIsMissing(t *testing.T) {
	startScheduler(t, schedulerOptions{configure: func(config map[string]any) {
		points := profile(config, 0)["plugins"].(map[string]any)["multiPoint"].(map[string]any)
		var kept []any
		for _, p := range points["enabled"].([]any) {
			if p.(map[string]any)["name"] != "HostNUMA" {
				kept = append(kept, p)
			}
		}
		points["enabled"] = kept
	}})
	ns := namespace(t, nil)
	host := described(t, ns, 1, shape{cells: 2, cpus: 4, memory: 16 * gib})[0]
	single := numaPolicy(v1alpha1.NUMASingleCell)
	create(t, newVM(ns, "vm", 1, 1, single))
	const remedy = "enable plugin HostNUMA in the scheduler's profile vm-scheduler"
	waitVM(t, ns, "vm", waiting("SchedulerError", remedy))
	if note := eventOn(t, ns, "vm", "FailedScheduling"); !strings.Contains(note, remedy) {
		t.Errorf("event says %q", note)
	}
	stays(t, ns, "vm", unbound)
	// What asks for nothing of cells is placed, and so is it all by a profile
	// that has the plugin.
	create(t, newVM(ns, "plain", 1, 1))
	waitVM(t, ns, "plain", boundTo(host))
	create(t, newVM(ns, "packed", 1, 1, single, func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "vm-packing" }))
	waitVM(t, ns, "packed", boundTo(host))
}
