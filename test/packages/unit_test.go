package packages

import (
	"strings"
	"testing"
)

// worst is the highest exposure that the unit may have by systemd's own measure, in
// tenths: 100 is a service without any confinement. It was 31 when this was written.
const worst = "33"

// systemd accepts the unit as it is installed, and finds it well confined.
func TestUnit(t *testing.T) {
	m := newMachine(t, built.dir)
	m.apt("install", deb(built.first, "domus-executor", firstVersion))
	out := m.run("systemd-analyze", "verify", "--man=no", "domus-executor.service")
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "domus-executor") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	m.run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+worst, "domus-executor.service")

	// What is added for CNI is no less valid.
	m.run("install", "-D", "-m", "0644", "/usr/share/doc/domus-executor/examples/cni.conf", "/etc/systemd/system/domus-executor.service.d/cni.conf")
	if out := m.run("systemd-analyze", "verify", "--man=no", "domus-executor.service"); strings.Contains(out, "cni.conf") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	for _, want := range []string{"vm-executor", "domus-executor.service"} {
		if out := m.run("man", "--local-file", "/usr/share/man/man8/vm-executor.8.gz"); !strings.Contains(out, want) {
			t.Errorf("the manual says nothing of %s:\n%s", want, out)
		}
	}
	m.run("bash", "-n", "/usr/share/bash-completion/completions/vm-executor")
}
