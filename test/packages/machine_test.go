package packages

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// machine is a copy of this machine's file system in which packages are installed and
// removed: an overlay in a mount namespace of its own. What is done there is gone when
// its holder ends, also when the test is killed.
type machine struct {
	t      *testing.T
	holder *exec.Cmd
	root   string
}

// setUp lays the file system over the machine's, and nothing that can be written of the
// machine's own shows through but shared, the test's own folder. Devices are read from
// and written to, not changed.
const setUp = `set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount -t proc proc "$1/root/proc"
mount -t sysfs -o ro sysfs "$1/root/sys"
mount -t tmpfs -o mode=755 tmpfs "$1/root/dev"
for d in null zero random urandom; do : >"$1/root/dev/$d"; mount --bind "/dev/$d" "$1/root/dev/$d"; done
mkdir -p "$1/root$2"
mount --bind "$2" "$1/root$2"
echo ready
exec sleep infinity`

func newMachine(t *testing.T, shared string) *machine {
	t.Helper()
	at := t.TempDir()
	m := &machine{t: t, root: filepath.Join(at, "root")}
	m.holder = exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", setUp, "sh", at, shared)
	m.holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	m.holder.Stderr = &said
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.holder.Process.Kill()
		_ = m.holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the file system could not be laid out: %q, %v, %s", line, err, said.String())
	}
	return m
}

// command is a program that runs in the machine.
func (m *machine) command(args ...string) *exec.Cmd {
	inside := append([]string{"--target", fmt.Sprint(m.holder.Process.Pid), "--mount", "--", "chroot", m.root}, args...)
	return exec.Command("nsenter", inside...)
}

// run runs a program there, which must succeed, and returns what it printed.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (m *machine) try(args ...string) (string, error) {
	cmd := m.command(args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root", "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apt installs, removes and purges; what the packages need is on the machine already.
func (m *machine) apt(args ...string) {
	m.t.Helper()
	m.run(append([]string{"apt-get", "--yes", "--no-install-recommends", "--option=Dpkg::Use-Pty=0", "--option=Dpkg::Options::=--force-confold"}, args...)...)
}

// exists says whether there is a file.
func (m *machine) exists(path string) bool {
	_, err := m.try("test", "-e", path)
	return err == nil
}

// write puts content into a file that only root reads.
func (m *machine) write(path, content string) {
	m.t.Helper()
	cmd := m.command("sh", "-c", `umask 077; cat >"$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("writing %s: %v\n%s", path, err, out)
	}
}
