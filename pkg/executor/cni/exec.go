package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// runner starts plugins for libcni: in the host's network namespace, in a process
// group of their own that is killed as a whole at the deadline, with the VM's lock
// and without the executor's environment, which is none of their business.
type runner struct {
	version.PluginDecoder
	space string
	lock  *os.File // nil for what is about no VM
}

var _ invoke.Exec = &runner{}

// FindInPath implements invoke.Exec.
func (*runner) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// afterwards is how long the output of a plugin is waited for that has ended, but
// left a process that holds it open.
const afterwards = 2 * time.Second

// ExecPlugin implements invoke.Exec.
func (r *runner) ExecPlugin(ctx context.Context, path string, stdin []byte, environment []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = plugins(environment)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterwards
	if r.lock != nil {
		cmd.ExtraFiles = []*os.File{r.lock}
	}
	if err := netspace.Do(r.space, cmd.Start); err != nil {
		return nil, fmt.Errorf("starting plugin %s: %w", path, err)
	}
	err := cmd.Wait()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %s", ErrTimeout, path)
	}
	given := &types.Error{}
	if json.Unmarshal(stdout.Bytes(), given) != nil || given.Msg == "" {
		*given = types.Error{Code: types.ErrInternal, Msg: fmt.Sprintf("%s: %v: %s", path, err, tail(stdout.String()+stderr.String()))}
	}
	return nil, given
}

// tail is the end of what a plugin said, as much as a condition can bear.
func tail(s string) string {
	const most = 512
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = "... " + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}

// plugins keeps of an environment what CNI's specification has, and where programs
// are found.
func plugins(environment []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		return !strings.HasPrefix(v, "CNI_") && !strings.HasPrefix(v, "PATH=")
	})
	if !slices.ContainsFunc(kept, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		kept = append(kept, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return kept
}
