package packages

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder stands for systemctl: it notes what it is told. What is about files alone,
// which is whether the unit is enabled, systemctl itself does.
const recorder = `#!/bin/sh
case "$*" in
--root=*) exec /bin/systemctl.real "$@" ;;
esac
echo "$*" >>/systemctl.log
`

// record puts the recorder in the place of systemctl, as if systemd ran.
func (m *machine) record() {
	m.t.Helper()
	m.run("mkdir", "-p", "/run/systemd/system")
	m.run("mv", "/bin/systemctl", "/bin/systemctl.real")
	m.write("/bin/systemctl", recorder)
	m.run("chmod", "0755", "/bin/systemctl")
	m.run("rm", "-f", "/usr/sbin/policy-rc.d")
}

// What the package asks of systemd, where systemd runs: to start the executor when it
// is installed, to start it again after an upgrade and not before, and to stop it
// before it is removed. It waits for none of it but the stop.
func TestWhatIsAskedOfSystemd(t *testing.T) {
	m := newMachine(t, built.dir)
	m.record()
	// asked are the lines about our unit, less what other packages' triggers ask.
	asked := func() []string {
		t.Helper()
		out, _ := m.try("cat", "/systemctl.log")
		m.run("rm", "-f", "/systemctl.log")
		var lines []string
		for _, line := range strings.Split(out, "\n") {
			if strings.Contains(line, "domus-executor") && !strings.Contains(line, "is-enabled") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	first, second := deb(built.first, "domus-executor", firstVersion), deb(built.second, "domus-executor", secondVersion)
	for _, step := range []struct {
		name string
		args []string
		want []string
	}{
		{"installation", []string{"install", first}, []string{"--no-block start domus-executor.service"}},
		{"an upgrade", []string{"install", second}, []string{"--no-block try-restart domus-executor.service"}},
		{"removal", []string{"remove", "domus-executor"}, []string{"stop domus-executor.service"}},
		{"a purge", []string{"purge", "domus-executor"}, nil},
	} {
		m.apt(step.args...)
		if diff := cmp.Diff(step.want, asked()); diff != "" {
			t.Errorf("%s asks something else of systemd:\n%s", step.name, diff)
		}
		enabled := m.exists("/etc/systemd/system/multi-user.target.wants/domus-executor.service")
		if want := len(step.want) > 0 && step.name != "removal"; enabled != want && step.name != "removal" {
			t.Errorf("after %s the unit is enabled: %t", step.name, enabled)
		}
	}

	// Where services may not be started, none is.
	m.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
	m.run("chmod", "0755", "/usr/sbin/policy-rc.d")
	m.apt("install", first)
	m.apt("install", second)
	if got := asked(); len(got) > 0 {
		t.Errorf("against the machine's policy systemd is asked: %q", got)
	}
}

// The same scripts as RPM calls them: with how many versions are installed then.
func TestWhatIsAskedOfSystemdByRPM(t *testing.T) {
	m := newMachine(t, built.dir)
	m.record()
	m.run("mkdir", "/scripts")
	m.run("rm", "-f", "/usr/bin/deb-systemd-helper")
	file := rpm("domus-executor")
	for _, step := range []struct{ tag, count, want string }{
		{"POSTIN", "1", "--no-reload preset domus-executor.service\ndaemon-reload\n--quiet is-enabled domus-executor.service\n--no-block start domus-executor.service"},
		{"POSTIN", "2", "daemon-reload\n--no-block try-restart domus-executor.service"},
		{"PREUN", "1", ""},
		{"PREUN", "0", "stop domus-executor.service"},
		{"POSTUN", "0", "daemon-reload"},
	} {
		m.write("/scripts/"+step.tag, output(t, "rpm", "--query", "--package", "--queryformat", "%{"+step.tag+"}", file))
		m.run("sh", "/scripts/"+step.tag, step.count)
		got, _ := m.try("cat", "/systemctl.log")
		m.run("rm", "-f", "/systemctl.log")
		if step.want == "" {
			if strings.Contains(got, "stop") {
				t.Errorf("%s %s asks %q", step.tag, step.count, got)
			}
			continue
		}
		if diff := cmp.Diff(step.want, strings.TrimSpace(got)); diff != "" {
			t.Errorf("%s %s asks something else of systemd:\n%s", step.tag, step.count, diff)
		}
	}
}
