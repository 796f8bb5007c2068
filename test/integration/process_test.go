package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running program under test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	once sync.Once
}

// launch starts a program that was built for the suite; dir takes its log. It
// is killed when the test ends, and its log shown when the test failed.
func launch(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: filepath.Join(dir, program+".log"), done: make(chan struct{})}
	logFile, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(filepath.Join(suite.dir, program), args...)
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	// It must not outlive a test run that is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		_ = logFile.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", program, p.tail(4000))
		}
	})
	return p
}

// signal sends what any process can be sent.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.done
	})
}

// waitEnd waits until the process has ended by itself, and returns its exit
// code.
func (p *process) waitEnd() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(eventually):
		p.t.Fatalf("%s has not ended:\n%s", p.cmd.Path, p.tail(3000))
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) read() []byte {
	data, _ := os.ReadFile(p.log)
	return data
}

func (p *process) tail(n int) string {
	data := p.read()
	return string(data[max(0, len(data)-n):])
}

// waitLog waits until one of the texts is in the log.
func (p *process) waitLog(texts ...string) {
	p.t.Helper()
	deadline := time.Now().Add(eventually)
	for time.Now().Before(deadline) {
		for _, text := range texts {
			if bytes.Contains(p.read(), []byte(text)) {
				return
			}
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended:\n%s", p.cmd.Path, p.tail(3000))
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.t.Fatalf("%s has not logged any of %q:\n%s", p.cmd.Path, texts, p.tail(3000))
}
