// Package monitoring holds dashboards, rules and runbooks against the table of
// metrics and against each other. What a Prometheus answers is tried in test/e2e.
package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/metrics/dashboards"
	"domus.dev/domus/test/internal/monitoring"
)

const (
	root     = "../.."
	boards   = root + "/manifests/monitoring/dashboards"
	rules    = root + "/manifests/monitoring/rules"
	runbooks = root + "/docs/runbooks"
)

// known are the metrics that may be asked for, by the name of a series, with
// their labels; nil where any label may be selected by.
func known(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	add := func(name string, kind metrics.Type, labels []string) {
		if kind != metrics.Histogram {
			out[name] = labels
			return
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			out[name+suffix] = labels
		}
	}
	for _, m := range metrics.Table() {
		add(m.Name, m.Type, append([]string{"cluster", "instance", "job"}, m.Labels...))
	}
	for _, o := range metrics.Others() {
		add(o.Name, o.Type, nil)
	}
	for _, r := range readRules(t) {
		if r.Record != "" {
			out[r.Record] = nil
		}
	}
	return out
}

func readRules(t *testing.T) []monitoring.Rule {
	t.Helper()
	all, err := monitoring.Rules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// queries are all that is asked of Prometheus.
func queries(t *testing.T) []monitoring.Query {
	t.Helper()
	all, err := monitoring.Dashboards(boards)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readRules(t) {
		all = append(all, monitoring.Query{Where: r.Name(), Expr: r.Expr})
	}
	return all
}

func TestQueriesAskForKnownMetrics(t *testing.T) {
	metrics, asked := known(t), map[string]bool{}
	for _, q := range queries(t) {
		expr := monitoring.Concrete(q.Expr, "vm")
		if strings.Contains(expr, "$") {
			t.Errorf("%s: %s: a variable is not known", q.Where, expr)
		}
		selectors, err := monitoring.Selectors(expr)
		if err != nil {
			t.Errorf("%s: %v", q.Where, err)
		}
		for _, s := range selectors {
			labels, is := metrics[s.Metric]
			if !is {
				t.Errorf("%s asks for %q, which is not in the table of metrics", q.Where, s.Metric)
			}
			for _, label := range s.Labels {
				if labels != nil && !slices.Contains(labels, label) {
					t.Errorf("%s selects %s by %s, a label that it has not", q.Where, s.Metric, label)
				}
			}
			asked[s.Metric] = true
		}
	}
	for name := range metrics {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if !asked[name] && !asked[base+"_bucket"] && !asked[base+"_count"] && !recorded(t, name) && !toJoin[name] {
			t.Errorf("nobody asks for %s: put it on a dashboard or take it away", name)
		}
	}
}

// toJoin are metrics that people ask for beside dashboards.
var toJoin = map[string]bool{
	"domus_vm_created_timestamp_seconds": true, "domus_vm_requested_cpus": true, "domus_vm_requested_memory_bytes": true,
	"domus_host_cell_memory_total_bytes": true,
}

func recorded(t *testing.T, name string) bool {
	return slices.ContainsFunc(readRules(t), func(r monitoring.Rule) bool { return r.Record == name })
}

func TestUnknownMetricsAreFound(t *testing.T) {
	selectors, err := monitoring.Selectors(monitoring.Concrete(`sum(rate(domus_no_such_metric{node=~"$node"}[$__rate_interval]))`, ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]monitoring.Selector{{Metric: "domus_no_such_metric", Labels: []string{"node"}}}, selectors); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
	if _, is := known(t)["domus_no_such_metric"]; is {
		t.Error("it is known")
	}
	if _, is := known(t)["domus_vm_bound_duration_seconds"]; is {
		t.Error("a histogram is known without one of its suffixes, as which there is no series")
	}
	if _, err := monitoring.Selectors("sum(rate("); err == nil {
		t.Error("half an expression was parsed")
	}
}

func TestDashboardsAreAsGenerated(t *testing.T) {
	want, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(boards)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, made := want[e.Name()]; !made {
			t.Errorf("%s is made by nobody: remove it", e.Name())
		}
	}
	for name, data := range want {
		is, err := os.ReadFile(filepath.Join(boards, name))
		if err != nil {
			t.Error(err)
		} else if string(is) != string(data) {
			t.Errorf("%s is not as it is generated: run make generate", name)
		}
	}
}

func TestAlertsHaveRunbooks(t *testing.T) {
	pages := map[string]bool{}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		page := r.Alert + ".md"
		pages[page] = true
		if r.Annotations["runbook"] != "docs/runbooks/"+page || r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s: it needs annotations summary and runbook (docs/runbooks/%s), and a label severity", r.Alert, page)
		}
		text, err := os.ReadFile(filepath.Join(runbooks, page))
		if err != nil {
			t.Errorf("%s has no runbook: %v", r.Alert, err)
			continue
		}
		for _, part := range []string{"# " + r.Alert + "\n", "\n## What it means\n", "\n## Look\n", "\n## Do\n"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s lacks %q", page, part)
			}
		}
	}
	entries, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !pages[e.Name()] {
			t.Errorf("%s is about no alert", e.Name())
		}
	}
}

// Each rule is tried, alerts also in a situation in which they are silent, and
// promtool finds what is expected.
func TestRulesAreTested(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(rules, "domus.tests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readRules(t) {
		fires := strings.Count(string(text), "alertname: "+r.Alert+"\n        exp_alerts:")
		switch {
		case r.Record != "" && !strings.Contains(string(text), "expr: "+r.Record+"\n"):
			t.Errorf("no test asks for %s", r.Record)
		case r.Alert != "" && fires == 0:
			t.Errorf("no test has %s fire", r.Alert)
		case r.Alert != "" && strings.Count(string(text), "alertname: "+r.Alert+"\n") <= fires:
			t.Errorf("no test has %s silent", r.Alert)
		}
	}
	for _, args := range [][]string{{"check", "rules", "domus.rules.yaml", "domus.alerts.yaml"}, {"test", "rules", "domus.tests.yaml"}, {"check", "config", "--syntax-only", "../prometheus.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = rules
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v (make deps installs it)\n%s", strings.Join(args, " "), err, out)
		}
	}
}
