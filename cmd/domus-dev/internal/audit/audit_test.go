package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is the n-th second of the tests' day.
func at(n int) time.Time { return time.Date(2025, 1, 1, 0, 0, n, 0, time.UTC) }

// line is one audit event; body is its request object, or empty.
func line(second int, user, verb, group, resource, name string, code int, body string) string {
	resource, sub, _ := strings.Cut(resource, "/")
	object := ""
	if body != "" {
		object = `,"requestObject":` + body
	}
	stamp := at(second).Format("2006-01-02T15:04:05.000000Z")
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","verb":%q,"user":{"username":%q},`+
		`"requestURI":"/x","objectRef":{"apiGroup":%q,"resource":%q,"subresource":%q,"namespace":"demo","name":%q},`+
		`"responseStatus":{"code":%d},"requestReceivedTimestamp":%q,"stageTimestamp":%q%s}`+"\n",
		verb, user, group, resource, sub, name, code, stamp, stamp, object)
}

func vmLine(second int, user, verb, resource string, code int, body string) string {
	return line(second, user, verb, "domus.dev", resource, "web", code, body)
}

const (
	placed   = `{"status":{"phase":"Scheduled","placement":{"nodeName":"a"}}}`
	starting = `[{"op":"add","path":"/status/host","value":{"state":"Stopped","reason":"Starting"}}]`
	running  = `{"status":{"phase":"Running","host":{"state":"Running"}}}`
)

func TestRead(t *testing.T) {
	born := vmLine(0, "admin", "create", "virtualmachines", 201, "")
	tests := map[string]struct {
		log  string
		want Report
	}{
		"an empty log": {want: Report{PodWrites: []PodWrite{}, VMs: []VM{}}},
		"a VM's writes are counted until it runs, and not after": {
			log: born +
				vmLine(1, "sched", "patch", "virtualmachines/status", 200, placed) +
				vmLine(2, "exec", "patch", "virtualmachines", 200, "") +
				vmLine(3, "exec", "patch", "virtualmachines/status", 409, "") +
				vmLine(4, "exec", "patch", "virtualmachines/status", 200, running) +
				vmLine(5, "exec", "patch", "virtualmachines/status", 200, running),
			want: Report{Writes: 6, PodWrites: []PodWrite{}, MaxWrites: 4, MeanWrites: 4, Running: 1, VMs: []VM{{
				Namespace: "demo", Name: "web", Created: at(0), RunningAt: at(4), Total: 4, Refused: 1,
				Writes: []Count{
					{User: "admin", Verb: "create", Resource: "virtualmachines", Number: 1},
					{User: "sched", Verb: "patch", Resource: "virtualmachines/status", Number: 1},
					{User: "exec", Verb: "patch", Resource: "virtualmachines", Number: 1},
					{User: "exec", Verb: "patch", Resource: "virtualmachines/status", Number: 1},
				},
			}}},
		},
		"a start that is announced is a write of its own": {
			log: born + vmLine(1, "exec", "patch", "virtualmachines/status", 200, starting) + vmLine(2, "exec", "patch", "virtualmachines/status", 200, running),
			want: Report{Writes: 3, PodWrites: []PodWrite{}, MaxWrites: 3, MeanWrites: 3, Running: 1, VMs: []VM{{
				Namespace: "demo", Name: "web", Created: at(0), RunningAt: at(2), Total: 3, Announced: true, Writes: []Count{
					{User: "admin", Verb: "create", Resource: "virtualmachines", Number: 1},
					{User: "exec", Verb: "patch", Resource: "virtualmachines/status", Number: 2},
				},
			}}},
		},
		"why a VM waits is told by writes of their own": {
			log: born + vmLine(1, "sched", "update", "virtualmachines/status", 200, `{"status":{"conditions":[{"type":"Scheduled","status":"False"}]}}`) +
				vmLine(2, "sched", "patch", "virtualmachines/status", 200, `[{"op":"add","path":"/status/conditions","value":[{"type":"Scheduled","status":"False"}]}]`) +
				vmLine(3, "sched", "update", "virtualmachines/status", 200, `{"status":{"conditions":[{"type":"Scheduled","status":"True"}]}}`),
			want: Report{Writes: 4, PodWrites: []PodWrite{}, VMs: []VM{{
				Namespace: "demo", Name: "web", Created: at(0), Total: 4, Waits: 2, Writes: []Count{
					{User: "admin", Verb: "create", Resource: "virtualmachines", Number: 1},
					{User: "sched", Verb: "update", Resource: "virtualmachines/status", Number: 2},
					{User: "sched", Verb: "patch", Resource: "virtualmachines/status", Number: 1},
				},
			}}},
		},
		"a VM that a namesake follows is counted by itself": {
			log: born + vmLine(1, "exec", "patch", "virtualmachines/status", 200, running) + vmLine(2, "admin", "delete", "virtualmachines", 200, "") +
				vmLine(9, "admin", "patch", "virtualmachines", 201, ""),
			want: Report{Writes: 4, PodWrites: []PodWrite{}, MaxWrites: 2, MeanWrites: 2, Running: 1, VMs: []VM{
				{Namespace: "demo", Name: "web", Created: at(0), RunningAt: at(1), Total: 2, Writes: []Count{
					{User: "admin", Verb: "create", Resource: "virtualmachines", Number: 1},
					{User: "exec", Verb: "patch", Resource: "virtualmachines/status", Number: 1},
				}},
				{Namespace: "demo", Name: "web", Created: at(9), Total: 1, Writes: []Count{
					{User: "admin", Verb: "patch", Resource: "virtualmachines", Number: 1},
				}},
			}},
		},
		"a write to a pod is reported even when it was refused": {
			log: line(3, "sched", "create", "", "pods/binding", "p", 403, ""),
			want: Report{Writes: 1, VMs: []VM{}, PodWrites: []PodWrite{
				{Time: at(3), User: "sched", Verb: "create", Resource: "pods/binding", Pod: "demo/p", Code: 403},
			}},
		},
		"reads, dry runs and VMs from before the log are left out; events are counted apart": {
			log: line(0, "sched", "list", "", "pods", "", 200, "") +
				strings.Replace(born, `"/x"`, `"/x?dryRun=All"`, 1) +
				vmLine(1, "exec", "patch", "virtualmachines/status", 200, running) +
				line(2, "sched", "create", "events.k8s.io", "events", "web.1", 201, ""),
			want: Report{Writes: 2, EventWrites: 1, PodWrites: []PodWrite{}, VMs: []VM{}},
		},
		"a last line that is being written is passed over": {
			log:  line(0, "sched", "create", "events.k8s.io", "events", "web.1", 201, "") + `{"kind":"Eve`,
			want: Report{Writes: 1, EventWrites: 1, PodWrites: []PodWrite{}, VMs: []VM{}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Read(strings.NewReader(tc.log))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRefusesALineThatIsNoEvent(t *testing.T) {
	if _, err := Read(strings.NewReader("nonsense\n{}\n")); err == nil {
		t.Error("no error")
	}
}

func TestSaysRunning(t *testing.T) {
	tests := map[string]struct {
		patch string
		want  bool
	}{
		"a merge patch of the phase":                 {`{"status":{"phase":"Running"}}`, true},
		"a merge patch of the host's state":          {`{"status":{"host":{"state":"Running"}}}`, true},
		"a merge patch of another phase":             {`{"status":{"phase":"Scheduled"}}`, false},
		"a JSON patch of the phase":                  {`[{"op":"test","path":"/status/epoch","value":0},{"op":"replace","path":"/status/phase","value":"Running"}]`, true},
		"a JSON patch of the whole host":             {`[{"op":"add","path":"/status/host","value":{"state":"Running"}}]`, true},
		"a JSON patch of the whole status":           {`[{"op":"add","path":"/status","value":{"phase":"Running"}}]`, true},
		"a JSON patch that only tests for it":        {`[{"op":"test","path":"/status/phase","value":"Running"}]`, false},
		"a JSON patch of a field with a like name":   {`[{"op":"add","path":"/status/phas","value":"Running"}]`, false},
		"a condition's reason that happens to match": {`{"status":{"conditions":[{"type":"Ready","reason":"Running"}]}}`, false},
		"no JSON": {`x`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := saysRunning([]byte(tc.patch)); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		report Report
		want   string
	}{
		"a good log": {report: Report{VMs: []VM{{Total: 4}}}},
		"a pod was written": {
			report: Report{PodWrites: []PodWrite{{User: "sched"}}},
			want:   "the audit log shows 1 writes to pods, the first by sched",
		},
		"a start that was announced": {report: Report{VMs: []VM{{Total: 5, Announced: true}}}},
		"a VM that had to wait":      {report: Report{VMs: []VM{{Total: 6, Waits: 2}}}},
		"one that was told to start": {report: Report{VMs: []VM{{Total: 7, Waits: 1, Asked: 1, Announced: true}}}},
		"an announced start that took too many writes": {
			report: Report{VMs: []VM{{Namespace: "demo", Name: "web", Total: 6, Announced: true}}},
			want:   "the audit log shows 6 writes to VM demo/web, more than 5",
		},
		"a VM took too many writes": {
			report: Report{VMs: []VM{{Namespace: "demo", Name: "web", Total: 5}}},
			want:   "the audit log shows 5 writes to VM demo/web, more than 4",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.report.Verdict(4); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
