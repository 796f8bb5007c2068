package podless

import (
	"errors"
	"fmt"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/metrics"
)

// hostScores are the scores of hosts by two plugins, b of which weighs 3.
func hostScores(hosts ...[2]int64) []fwk.NodePluginScores {
	var out []fwk.NodePluginScores
	for i, h := range hosts {
		out = append(out, fwk.NodePluginScores{
			Name: fmt.Sprint("host-", i), TotalScore: h[0] + 3*h[1],
			Scores: []fwk.PluginScore{{Name: "a", Score: h[0]}, {Name: "b", Score: 3 * h[1]}},
		})
	}
	return out
}

// seen is a Scores that remembers.
type seen struct{ best, margin, a, b float64 }

func TestBestAndRunnerUp(t *testing.T) {
	for name, test := range map[string]struct {
		scores []fwk.NodePluginScores
		want   *seen
	}{
		"the best is first":             {hostScores([2]int64{100, 80}, [2]int64{20, 40}), &seen{85, 50, 100, 80}},
		"the best is last":              {hostScores([2]int64{0, 0}, [2]int64{20, 40}, [2]int64{100, 80}), &seen{85, 50, 100, 80}},
		"the runner-up is between":      {hostScores([2]int64{100, 80}, [2]int64{20, 40}, [2]int64{96, 80}), &seen{85, 1, 100, 80}},
		"two are best":                  {hostScores([2]int64{100, 80}, [2]int64{100, 80}), &seen{85, 0, 100, 80}},
		"only one would do":             {hostScores([2]int64{100, 80}), nil},
		"there are no scores":           {nil, nil},
		"no plugin had anything to say": {[]fwk.NodePluginScores{{Name: "x"}, {Name: "y"}}, nil},
		"a plugin had nothing to say here": {[]fwk.NodePluginScores{
			{Name: "x", TotalScore: 40, Scores: []fwk.PluginScore{{Name: "a", Score: 40}}}, {Name: "y", TotalScore: 30, Scores: []fwk.PluginScore{{Name: "a", Score: 30}}},
		}, &seen{40, 10, 40, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			best, margin, plugins := bestOf(test.scores, map[string]int64{"a": 1, "b": 3})
			if test.want == nil {
				if best >= 0 {
					t.Fatalf("host %d is best, by %g", best, margin)
				}
				return
			}
			got := seen{a: -1, b: -1, margin: margin}
			weights := int64(0)
			for _, p := range test.scores[best].Scores {
				w := map[string]int64{"a": 1, "b": 3}[p.Name]
				weights += w
				if p.Name == "a" {
					got.a = float64(p.Score) / float64(w)
				} else {
					got.b = float64(p.Score) / float64(w)
				}
			}
			got.best = float64(test.scores[best].TotalScore) / float64(plugins)
			if got != *test.want || weights != plugins {
				t.Errorf("got %+v (weights %d), want %+v", got, plugins, *test.want)
			}
		})
	}
}

func TestObservingScoresDoesNotAllocate(t *testing.T) {
	s := &scored{weights: map[string]int64{"a": 1, "b": 3}, observed: metrics.ScoresOf("allocations", []string{"a", "b"})}
	scores := hostScores([2]int64{1, 2}, [2]int64{3, 4}, [2]int64{5, 6})
	if n := testing.AllocsPerRun(100, func() { s.observe(scores) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// BenchmarkObserve is what a cycle on 1,000 hosts pays once.
func BenchmarkObserve(b *testing.B) {
	s := &scored{weights: map[string]int64{"a": 1, "b": 3}, observed: metrics.ScoresOf("benchmark", []string{"a", "b"})}
	var hosts [][2]int64
	for i := range int64(1000) {
		hosts = append(hosts, [2]int64{i % 100, i * 7 % 100})
	}
	scores := hostScores(hosts...)
	b.ReportAllocs()
	for b.Loop() {
		s.observe(scores)
	}
}

func TestOutcomesAreFew(t *testing.T) {
	unfit := fwk.NewStatus(fwk.Unschedulable).WithError(&framework.FitError{NumAllNodes: 3})
	for name, test := range map[string]struct {
		status  *fwk.Status
		verdict string
		want    [2]string
	}{
		"hosts have no room":   {unfit, "", [2]string{"unschedulable", "NoRoom"}},
		"no host ever will":    {unfit, "no host that it may use ", [2]string{"unschedulable", "NoHostEver"}},
		"there are no hosts":   {fwk.AsStatus(scheduler.ErrNoNodesAvailable), "", [2]string{"unschedulable", "NoHosts"}},
		"its group is held":    {fwk.NewStatus(fwk.Unschedulable, "pod group is unschedulable"), "", [2]string{"unschedulable", "Group"}},
		"something went wrong": {fwk.AsStatus(errors.New("the API server is away")), "", [2]string{"error", "SchedulerError"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, reason := outcome(test.status, test.verdict)
			if got := [2]string{result, reason}; got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
