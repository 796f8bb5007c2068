package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// shell is one bash for the commands of a page: what one block exports, defines or
// changes holds for the next one.
type shell struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	results *bufio.Reader
	dir     string
}

// newShell starts one in the folder dir. Files of its own are in scratch.
func newShell(dir, scratch string, environment []string) (*shell, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir, cmd.Env = dir, environment
	cmd.ExtraFiles = []*os.File{writer}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting bash: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	s := &shell{cmd: cmd, in: in, results: bufio.NewReader(reader), dir: scratch}
	// The first command that fails is remembered, and the rest is run as in a terminal.
	_, err = io.WriteString(in, `set -E -o pipefail
domus_last=0
domus_failure() { if [ -n "$domus_skip" ]; then domus_skip=; else domus_failed=${domus_failed:-$1}; fi; }
trap 'domus_failure $?' ERR
`)
	return s, err
}

// run runs commands and returns what they print, and the exit code of the first one
// that failed.
func (s *shell) run(ctx context.Context, commands string) (output []string, code int, err error) {
	file, printed := filepath.Join(s.dir, "commands"), filepath.Join(s.dir, "printed")
	if err := os.WriteFile(file, []byte(commands), 0o600); err != nil {
		return nil, 0, err
	}
	// $? is at first what the commands before had for an end.
	line := fmt.Sprintf("domus_failed=; domus_skip=${domus_last#0}; (exit $domus_last); . %s >%s 2>&1 </dev/null 3>&-; domus_last=$?; echo ${domus_failed:-$domus_last} >&3\n", file, printed)
	if _, err := io.WriteString(s.in, line); err != nil {
		return nil, 0, fmt.Errorf("the shell has ended: %w", err)
	}
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		line, err := s.results.ReadString('\n')
		results <- result{line, err}
	}()
	var got result
	select {
	case got = <-results:
	case <-ctx.Done():
		err = fmt.Errorf("are not done in time: %w", ctx.Err())
		s.kill()
		<-results
	}
	content, readErr := os.ReadFile(printed)
	output = strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if err = errors.Join(err, got.err, readErr); err != nil {
		return output, 0, err
	}
	code, err = strconv.Atoi(strings.TrimSpace(got.line))
	return output, code, err
}

func (s *shell) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
}

// end ends the shell, and what it started and did not end.
func (s *shell) end() {
	_ = s.in.Close()
	done := make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
	s.kill()
	<-done
}
