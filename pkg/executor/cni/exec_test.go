package cni

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
)

func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunner(t *testing.T) {
	ctx := context.Background()
	t.Setenv("KUBECONFIG", "/etc/secret")
	environment := append(os.Environ(), "CNI_COMMAND=ADD")
	r := &runner{}
	out, err := r.ExecPlugin(ctx, program(t, `cat; echo; env`), []byte(`{"a":1}`), environment)
	if err != nil || !strings.HasPrefix(string(out), `{"a":1}`) || !strings.Contains(string(out), "CNI_COMMAND=ADD") || !strings.Contains(string(out), "PATH=") {
		t.Errorf("%s: %v", out, err)
	}
	if strings.Contains(string(out), "KUBECONFIG") {
		t.Errorf("the plugin has the executor's environment: %s", out)
	}
	for name, c := range map[string]struct{ script, want string }{
		"an error as CNI has it": {`echo '{"cniVersion": "1.0.0", "code": 7, "msg": "bad", "details": "bridge"}'; exit 1`, "bad; bridge"},
		"words":                  {`echo it broke >&2; exit 3`, "it broke"},
		"killed":                 {`kill -9 $$`, "signal: killed"},
	} {
		_, err := r.ExecPlugin(ctx, program(t, c.script), nil, environment)
		var given *types.Error
		if !errors.As(err, &given) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A process that a plugin leaves behind holds up nobody.
	start := time.Now()
	if out, err := r.ExecPlugin(ctx, program(t, `sleep 60 & echo $!`), nil, environment); err != nil || time.Since(start) > 30*time.Second {
		t.Errorf("%s after %s: %v", out, time.Since(start), err)
	} else if pid, err := strconv.Atoi(strings.TrimSpace(string(out))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := r.ExecPlugin(short, program(t, `sleep 60 & sleep 60`), nil, environment); !errors.Is(err, ErrTimeout) {
		t.Errorf("a plugin that hangs: %v", err)
	}
}

func TestPluginsEnvironment(t *testing.T) {
	got := plugins([]string{"HOME=/root", "CNI_PATH=/opt/cni/bin", "TOKEN=x"})
	if diff := cmp.Diff([]string{"CNI_PATH=/opt/cni/bin", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFailure(t *testing.T) {
	ctx := context.Background()
	over, cancel := context.WithCancel(ctx)
	cancel()
	given := &types.Error{Code: 11, Msg: "try again"}
	for name, c := range map[string]struct {
		ctx    context.Context
		err    error
		reason string
	}{
		"of the plugin's":         {ctx, given, "CNIPluginFailed"},
		"of it, and time is over": {over, given, "CNIPluginFailed"},
		"time is over":            {over, errors.New("killed"), "CNIPluginTimeout"},
		"not installed":           {ctx, errors.New(`failed to find plugin "x" in path [/opt/cni/bin]`), "CNIPluginMissing"},
		"no address":              {ctx, &types.Error{Msg: "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.3-10.1.2.4"}, "CNIAddressesExhausted"},
	} {
		err := failure(c.ctx, "ADD", "pods", c.err)
		if Reason(err) != c.reason || !errors.Is(err, c.err) || !strings.Contains(err.Error(), "CNI ADD on pods") {
			t.Errorf("%s: %q: %v", name, Reason(err), err)
		}
	}
	if err := failure(ctx, "ADD", "pods", nil); err != nil {
		t.Error(err)
	}
	if reason := Reason(errors.New("other")); reason != "" {
		t.Errorf("a reason of another's: %s", reason)
	}
}
