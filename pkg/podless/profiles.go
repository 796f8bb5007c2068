package podless

import (
	"slices"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// withGrowth adds to each profile the one that decides whether VMs of that profile
// may grow on their hosts: of its plugins those that deciding names, as they are
// configured there, and what finds the one host. A VM that is on its host already
// is not to be held against taints, its affinity or others' once more, and
// kube-scheduler chooses plugins by profile alone.
func withGrowth(profiles []config.KubeSchedulerProfile, deciding []string) []config.KubeSchedulerProfile {
	if len(deciding) == 0 {
		return profiles // nobody could: VMs that are to grow wait
	}
	out := slices.Clone(profiles)
	for i := range profiles {
		p := &profiles[i]
		growth := config.KubeSchedulerProfile{
			SchedulerName: growthProfile(p.SchedulerName),
			// All profiles share one queue, and must sort it alike.
			Plugins: &config.Plugins{QueueSort: p.Plugins.QueueSort},
			// Not as configured there: VMs' own affinity is done with.
			PluginConfig: []config.PluginConfig{{Name: names.NodeAffinity, Args: &config.NodeAffinityArgs{}}},
		}
		for _, plugin := range append([]string{names.PrioritySort, names.NodeAffinity}, deciding...) {
			if plugin == names.NodeAffinity || enabled(p.Plugins, plugin) {
				growth.Plugins.MultiPoint.Enabled = append(growth.Plugins.MultiPoint.Enabled, config.Plugin{Name: plugin})
			}
		}
		for _, c := range p.PluginConfig {
			if slices.Contains(deciding, c.Name) {
				growth.PluginConfig = append(growth.PluginConfig, c)
			}
		}
		out = append(out, growth)
	}
	return out
}

// enabled says whether a profile has the plugin, for all of its extension points
// or for one of them.
func enabled(p *config.Plugins, name string) bool {
	for _, set := range []config.PluginSet{p.MultiPoint, p.Filter, p.Bind, p.Reserve} {
		if slices.ContainsFunc(set.Enabled, func(plugin config.Plugin) bool { return plugin.Name == name }) {
			return true
		}
	}
	return false
}
