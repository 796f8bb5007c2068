package proc

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		content string
		want    stat
		wrong   bool
	}{
		"an ordinary process": {
			content: "42 (etcd) S 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 9 0 123456 0 0",
			want:    stat{state: 'S', startTicks: 123456},
		},
		"a name with a space and parentheses": {
			content: "42 (a (b) c) Z 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 9 0 7 0 0",
			want:    stat{state: 'Z', startTicks: 7},
		},
		"a line that is cut off": {content: "42 (etcd) S 1", wrong: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.content))
			if (err != nil) != tc.wrong {
				t.Fatalf("error %v, want one: %v", err, tc.wrong)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(stat{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "config")
	write(t, input, "one")
	spec := Spec{
		Name: "sleeper", Path: "/bin/sleep", Args: []string{"600"}, Inputs: []string{input},
		LogFile: filepath.Join(dir, "logs", "sleeper.log"), RecordFile: filepath.Join(dir, "run", "sleeper.json"),
	}
	first, outcome := ensure(t, spec)
	t.Cleanup(func() {
		if r, err := Load(spec.RecordFile); err == nil {
			_ = r.Stop(0)
		}
	})
	if outcome != Started || !first.Alive() {
		t.Fatalf("outcome %q, alive %v", outcome, first.Alive())
	}
	if again, outcome := ensure(t, spec); outcome != Running || again.PID != first.PID {
		t.Fatalf("a running process: outcome %q, pid %d, was %d", outcome, again.PID, first.PID)
	}

	write(t, input, "two")
	kept := spec
	kept.KeepOnChange = true
	if _, outcome := ensure(t, kept); outcome != Running {
		t.Fatalf("a process to be kept: outcome %q", outcome)
	}
	second, outcome := ensure(t, spec)
	if outcome != Restarted || second.PID == first.PID || first.Alive() {
		t.Fatalf("a changed input: outcome %q, first alive: %v", outcome, first.Alive())
	}

	stranger := *second
	stranger.StartTicks++
	if err := stranger.Stop(0); err != nil || !second.Alive() {
		t.Fatalf("a process with another start time was ended (%v)", err)
	}
	rebooted := *second
	rebooted.BootID = "another boot"
	if err := rebooted.Stop(0); err != nil || !second.Alive() {
		t.Fatalf("a process of another boot was ended (%v)", err)
	}
	if err := second.Stop(5 * time.Second); err != nil || second.Alive() {
		t.Fatalf("stopping: %v, alive %v", err, second.Alive())
	}
}

func TestStopKillsAProcessThatDoesNotListen(t *testing.T) {
	dir := t.TempDir()
	r, _ := ensure(t, Spec{
		Name: "deaf", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; while :; do sleep 1; done"},
		LogFile: filepath.Join(dir, "log"), RecordFile: filepath.Join(dir, "record"),
	})
	time.Sleep(200 * time.Millisecond) // the trap must be set first
	if err := r.Stop(300 * time.Millisecond); err != nil || r.Alive() {
		t.Fatalf("stopping: %v, alive %v", err, r.Alive())
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "one\ntwo\nthree\n")
	if got := Tail(path, 2); got != "two\nthree" {
		t.Errorf("got %q", got)
	}
	if got := Tail(path+".none", 2); got != "" {
		t.Errorf("a missing file gave %q", got)
	}
}

func ensure(t *testing.T, spec Spec) (*Record, Outcome) {
	t.Helper()
	r, outcome, err := Ensure(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r, outcome
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
