package metrics

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// described is what a registry is told of a metric.
type described struct{ help, labels string }

var descriptions = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", unit: "[^"]*", constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// describe reads what collectors tell a registry.
func describe(t *testing.T, all ...prometheus.Collector) map[string]described {
	t.Helper()
	out := map[string]described{}
	for _, c := range all {
		descs := make(chan *prometheus.Desc)
		go func() { c.Describe(descs); close(descs) }()
		for d := range descs {
			m := descriptions.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("a registry is told %s", d)
			}
			if _, twice := out[m[1]]; twice {
				t.Errorf("%s is registered twice", m[1])
			}
			out[m[1]] = described{m[2], m[3]}
		}
	}
	return out
}

func rows(pages ...Page) map[string]described {
	out := map[string]described{}
	for _, m := range Table() {
		if slices.Contains(pages, m.Page) {
			out[m.Name] = described{m.Help, strings.Join(m.Labels, ",")}
		}
	}
	return out
}

func TestWhatVMSchedulerRegistersIsTheTable(t *testing.T) {
	if diff := cmp.Diff(rows(Scheduler, Leader), describe(t, SchedulerCollectors()...), cmp.AllowUnexported(described{})); diff != "" {
		t.Errorf("metrics (-table +registered):\n%s", diff)
	}
}

func TestRowsAreWhole(t *testing.T) {
	units := map[string]string{"_seconds": "seconds", "_bytes": "bytes"}
	names := map[string]bool{}
	for _, m := range Table() {
		name, total := strings.CutSuffix(m.Name, "_total")
		switch {
		case names[m.Name]:
			t.Errorf("%s is there twice", m.Name)
		case !strings.HasPrefix(m.Name, "domus_"), m.Help == "", m.Unit == "", m.Series == "", m.Page == "":
			t.Errorf("%s: the row has gaps", m.Name)
		case total != (m.Type == Counter):
			t.Errorf("%s is a %s: counters and no others end in _total", m.Name, m.Type)
		case (m.Type == Histogram) != (len(m.Buckets) > 0):
			t.Errorf("%s is a %s with %d buckets", m.Name, m.Type, len(m.Buckets))
		case !slices.IsSorted(m.Buckets):
			t.Errorf("%s: buckets are not in order", m.Name)
		case strings.ContainsAny(m.Help, "|\n"):
			t.Errorf("%s: the help does not fit into a table", m.Name)
		}
		names[m.Name] = true
		for suffix, unit := range units {
			if strings.HasSuffix(name, suffix) != strings.HasPrefix(m.Unit, unit) {
				t.Errorf("%s counts %s", m.Name, m.Unit)
			}
		}
	}
	for _, o := range Others() {
		if names[o.Name] || strings.HasPrefix(o.Name, "domus_") {
			t.Errorf("%s is no other's", o.Name)
		}
	}
	for _, of := range []*Metric{BoundDuration, RunningDuration, StartDuration} {
		if first, last := of.Buckets[0], of.Buckets[len(of.Buckets)-1]; first != 0.01 || last != 300 {
			t.Errorf("%s is told from %g to %g s", of.Name, first, last)
		}
	}
}

// Names and types by Prometheus' conventions, as promtool has them.
func TestNamesFollowConventions(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, c := range SchedulerCollectors() {
		registry.MustRegister(c)
	}
	for _, observe := range []func(){
		func() { Attempted("p", PurposePlace, ResultBound, ReasonBound) }, func() { HostsRejected("p", "HostNUMA", "CPU", 3) },
		func() { Bound("p", 1) }, func() { Running("p", 1) }, func() { Started("p", 1) }, func() { ExecutorRejected("n", "HostUnfit") },
		func() { GuestStarted("p") }, PlacedEventDropped, WriteDelayed, func() { s := ScoresOf("p", []string{"a"}); s.Best(90, 3); s.Plugin("a", 50) },
	} {
		observe()
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	ForgetHost("n")
	if n := testutil.CollectAndCount(executorRejected); n != 0 {
		t.Errorf("%d series are left of a host that is gone", n)
	}
}

func TestTheDocumentHasTheTables(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Document(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/metrics.md is not as the code is: run make generate (-want +is):\n%s", diff)
	}
	if _, err := Document("no lines"); err == nil {
		t.Error("a document without a place for tables was written")
	}
	if len(slices.Collect(maps.Keys(rows(Executor)))) == 0 {
		t.Error("vm-executor tells nothing")
	}
}
