package packages

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same commit gives the same bytes.
func TestPackagesAreReproducible(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(built.first, "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("packages are %q (%v)", files, err)
	}
	for _, file := range files {
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(built.again, filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("%s is another one when built again", filepath.Base(file))
		}
	}
}

// Both kinds have the same files, but for the place of units and of zsh's functions.
func TestBothKindsHaveTheSameFiles(t *testing.T) {
	same := strings.NewReplacer("/usr/lib/systemd/system/", "/lib/systemd/system/", "/zsh/site-functions/", "/zsh/vendor-completions/")
	for _, name := range []string{"domus-executor", "domus-virtctl"} {
		var ofDeb, ofRPM []string
		for _, line := range strings.Split(output(t, "dpkg-deb", "--contents", deb(built.first, name, firstVersion)), "\n") {
			if f := strings.Fields(line); len(f) >= 6 && !strings.HasPrefix(f[0], "d") {
				ofDeb = append(ofDeb, mode(f[0])+" "+f[1]+" "+strings.TrimPrefix(f[5], "."))
			}
		}
		for _, line := range strings.Split(output(t, "rpm", "--query", "--package", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`, rpm(name)), "\n") {
			if line != "" && !strings.HasPrefix(line, "d") {
				perms, rest, _ := strings.Cut(line, " ")
				ofRPM = append(ofRPM, mode(perms)+" "+same.Replace(rest))
			}
		}
		slices.Sort(ofDeb)
		slices.Sort(ofRPM)
		if diff := cmp.Diff(ofDeb, ofRPM); diff != "" || len(ofDeb) < 5 {
			t.Errorf("%s has %d files; .deb and .rpm differ:\n%s", name, len(ofDeb), diff)
		}
	}
	config := output(t, "rpm", "--query", "--package", "--configfiles", rpm("domus-executor"))
	if strings.TrimSpace(config) != "/etc/domus/executor.yaml" {
		t.Errorf("configuration files of the .rpm are %q", config)
	}
	needs := output(t, "rpm", "--query", "--package", "--requires", rpm("domus-executor"))
	for _, want := range []string{"libvirt-libs >= 8.0", "libvirt-daemon-driver-qemu", "qemu-kvm", "glibc >= 2.34"} {
		if !strings.Contains(needs, want) {
			t.Errorf("the .rpm requires %q, want %s", needs, want)
		}
	}
}

// What the package's files tell to read is in the package.
func TestWhatIsToldToReadIsThere(t *testing.T) {
	has := output(t, "dpkg-deb", "--contents", deb(built.first, "domus-executor", firstVersion))
	files, err := filepath.Glob(filepath.Join("..", "..", "hack", "packages", "executor", "*"))
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range regexp.MustCompile(`/usr/share/doc/domus-executor/[\w./-]*\w`).FindAllString(string(text), -1) {
			told++
			if !strings.Contains(has, " ."+path+"\n") {
				t.Errorf("%s tells to read %s, which the package has not", filepath.Base(file), path)
			}
		}
	}
	if told < 3 {
		t.Errorf("%d paths were found", told)
	}
}

// mode is a file's; that of a symbolic link means nothing.
func mode(perms string) string {
	if strings.HasPrefix(perms, "l") {
		return "l"
	}
	return perms
}

func TestVersions(t *testing.T) {
	script := filepath.Join("..", "..", "hack", "packages", "version.sh")
	versions := []string{}
	for _, test := range []struct{ described, want string }{
		{"abc1234", "0.0.0~20231114221320.gabc1234"},
		{"abc1234-dirty", "0.0.0~20231114221320.gabc1234.dirty"},
		{"v1.2.3-rc.1", "1.2.3~rc.1"},
		{"v1.2.3-rc.1-4-gabc1234", "1.2.3~rc.1+4.gabc1234"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-4-gabc1234", "1.2.3+4.gabc1234"},
		{"v1.2.3-14-gabc1234-dirty", "1.2.3+14.gabc1234.dirty"},
		{"v1.2.4", "1.2.4"},
	} {
		got := strings.TrimSpace(output(t, script, test.described, "1700000000"))
		if got != test.want {
			t.Errorf("%s is version %s, want %s", test.described, got, test.want)
		}
		versions = append(versions, got)
	}
	for i := 1; i < len(versions); i++ {
		output(t, "dpkg", "--compare-versions", versions[i-1], "lt", versions[i])
		if got := strings.TrimSpace(output(t, "rpm", "--eval", "%{lua:print(rpm.vercmp('"+versions[i-1]+"','"+versions[i]+"'))}")); got != "-1" {
			t.Errorf("to rpm %s is not before %s", versions[i-1], versions[i])
		}
	}
}
