package podless

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"domus.dev/domus/pkg/metrics"
)

// observeScores has the profiles that place VMs tell how hosts were scored. No
// extension point of the framework sees the scores of all plugins together.
func observeScores(profiles profile.Map) {
	for name, fw := range profiles {
		if !strings.HasPrefix(name, growthProfiles) {
			profiles[name] = newScored(name, fw)
		}
	}
}

// scored is a profile's framework whose scores are observed.
type scored struct {
	framework.Framework
	weights  map[string]int64
	observed *metrics.Scores
}

func newScored(name string, fw framework.Framework) *scored {
	s := &scored{Framework: fw, weights: map[string]int64{}}
	var plugins []string
	for _, p := range fw.ListPlugins().Score.Enabled {
		s.weights[p.Name] = int64(p.Weight)
		plugins = append(plugins, p.Name)
	}
	s.observed = metrics.ScoresOf(name, plugins)
	return s
}

// RunScorePlugins implements framework.Framework.
func (s *scored) RunScorePlugins(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, nodes []fwk.NodeInfo) ([]fwk.NodePluginScores, *fwk.Status) {
	scores, status := s.Framework.RunScorePlugins(ctx, state, pod, nodes)
	if status.IsSuccess() {
		s.observe(scores)
	}
	return scores, status
}

// observe tells of the best host, once a cycle, and does not allocate.
func (s *scored) observe(scores []fwk.NodePluginScores) {
	best, margin, weights := bestOf(scores, s.weights)
	if best < 0 {
		return
	}
	for i := range scores[best].Scores {
		p := &scores[best].Scores[i]
		if w := s.weights[p.Name]; w > 0 {
			s.observed.Plugin(p.Name, float64(p.Score)/float64(w))
		}
	}
	s.observed.Best(float64(scores[best].TotalScore)/float64(weights), margin)
}

// bestOf is the index of the host with the highest total, by how many points of 100
// it is ahead of the next, and the weights of the plugins that have scored it. A
// plugin that has nothing to say of the VM is in no host's scores. It is -1 where
// there is nothing to compare.
func bestOf(scores []fwk.NodePluginScores, weights map[string]int64) (best int, margin float64, sum int64) {
	if len(scores) < 2 {
		return -1, 0, 0
	}
	best, second := 0, 1
	if scores[second].TotalScore > scores[best].TotalScore {
		best, second = second, best
	}
	for i := 2; i < len(scores); i++ {
		switch total := scores[i].TotalScore; {
		case total > scores[best].TotalScore:
			best, second = i, best
		case total > scores[second].TotalScore:
			second = i
		}
	}
	for i := range scores[best].Scores {
		sum += weights[scores[best].Scores[i].Name]
	}
	if sum == 0 {
		return -1, 0, 0
	}
	return best, float64(scores[best].TotalScore-scores[second].TotalScore) / float64(sum), sum
}
