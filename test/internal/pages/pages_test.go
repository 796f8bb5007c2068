package pages

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fenced writes ~ for what ends a Go string.
func fenced(text string) []byte { return []byte(strings.ReplaceAll(text, "~", "`")) }

func TestAPageDecidesForItsBlocks(t *testing.T) {
	page, err := Parse("docs/x.md", fenced(`# X

<!-- commands: run -->

~~~sh
first
~~~

~~~
shown
~~~

<!-- not run: it needs two machines -->

~~~sh
second
~~~

<!-- setup
kubectl apply -f hidden.yaml
-->

~~~console
$ third --all
a
b
$ cat <<END
c
END
c
~~~

~~~yaml
a: 1
~~~
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Line: 6, OutputLine: 10, Commands: "first\n", Output: []string{"shown"}, Decision: Run},
		{Line: 20, Commands: "kubectl apply -f hidden.yaml\n", Decision: Run, Setup: true},
		{Line: 24, OutputLine: 25, Commands: "third --all\n", Output: []string{"a", "b"}, Decision: Run},
		{Line: 27, OutputLine: 30, Commands: "cat <<END\nc\nEND\n", Output: []string{"c"}, Decision: Run},
	}
	if diff := cmp.Diff(want, page.Steps()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestDecisionsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":     "<!-- commands: not run -->\n",
		"an empty one":  "<!-- commands: not run:  -->\n",
		"another word":  "<!-- commands: maybe -->\n",
		"too late":      "~~~sh\na\n~~~\n\n<!-- commands: run -->\n",
		"of a block":    "<!-- run: sometimes -->\n\n~~~sh\na\n~~~\n",
		"block without": "<!-- not run: -->\n\n~~~sh\na\n~~~\n",
	} {
		if _, err := Parse("x.md", fenced(text)); err == nil {
			t.Errorf("%s: is taken for a decision", name)
		}
	}
}

func TestAnchorsAreGitHubs(t *testing.T) {
	page, err := Parse("x.md", fenced("# What ~spec.domain~ may contain\n## A host, that is *away*\n## Same\n## Same\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, anchor := range []string{"what-specdomain-may-contain", "a-host-that-is-away", "same", "same-1"} {
		if !page.Anchors[anchor] {
			t.Errorf("no anchor %s among %v", anchor, page.Anchors)
		}
	}
}

func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		want, got string
		differ    bool
		same      bool
	}{
		"ages and hosts are another each time": {"web Running sim-001 2 5m2s", "web   Running   sim-017   2   7s", false, true},
		"a phase is not":                       {"web Running", "web Pending", false, false},
		"a number is not":                      {"8 hosts", "9 hosts", false, false},
		"unless it may":                        {"8 hosts, 3Gi", "9 hosts, 17Gi", true, true},
		"lines may stand before and behind":    {"b\nc", "a\nb\nc\nd", false, true},
		"but not between":                      {"b\nc", "b\nx\nc", false, false},
		"but where dots allow it":              {"a\n...\nc", "a\nx\ny\nc", false, true},
		"dots in a line are any text":          {"error: ... not found", "error: vm x not found", false, true},
		"what is missing":                      {"a\n...\nc", "a\nx", false, false},
		"lists of simulated hosts":             {"real-1,sim-001,sim-002,...", "real-1,sim-003,sim-009,...", false, true},
		"nothing was printed":                  {"a", "", false, false},
	} {
		err := Same(strings.Split(c.want, "\n"), strings.Split(c.got, "\n"), c.differ)
		if (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCalls(t *testing.T) {
	calls, err := Calls("sudo bin/virtctl get -n demo | head -3\nkubectl vm top $(hostname)\nX=1 kubectl apply -f - <<'END'\nvirtctl no\nEND\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, words := range calls {
		got = append(got, strings.Join(words, " "))
	}
	slices.Sort(got)
	want := []string{"head -3", "hostname", "kubectl apply -f -", "virtctl get -n demo", "virtctl top x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if _, err := Calls("kill <pid of it>"); err == nil {
		t.Error("a placeholder is taken for bash")
	}
}

func TestOnlyLook(t *testing.T) {
	for commands, want := range map[string]bool{
		"kubectl get vm -n demo | head -2":    true,
		"virtctl snapshot list -n demo":       true,
		"virtctl snapshot delete -n demo x":   false,
		"kubectl delete vm x":                 false,
		"kubectl get vm; virtctl stop x":      false,
		"vm db-1":                             false,
		"kubectl get vm > list":               true,
		"bin/virtctl explain -n demo x --all": true,
	} {
		if OnlyLook(commands) != want {
			t.Errorf("%s: OnlyLook is not %v", commands, want)
		}
	}
}
