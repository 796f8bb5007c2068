package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"domus.dev/domus/test/internal/live"
)

var bin = filepath.Join("..", "..", "bin")

// built are the packages: two versions of each.
var built struct{ dir, first, again, second string }

const firstVersion, secondVersion = "0.0.1", "0.0.2"

func TestMain(m *testing.M) {
	if unit := os.Getenv(confineVariable); unit != "" {
		fmt.Fprintln(os.Stderr, "confining:", confine(unit, os.Args[1:]))
		os.Exit(1)
	}
	ctrllog.SetLogger(klog.Background())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := live.Prerequisites(bin, "test-packages"); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		return 1
	}
	dir, err := os.MkdirTemp("/tmp", "domus-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// What the packages are made of is to be read by all, as in a release.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1
	}
	built.dir = dir
	for _, p := range []struct {
		into    *string
		version string
	}{{&built.first, firstVersion}, {&built.again, firstVersion}, {&built.second, secondVersion}} {
		*p.into, err = os.MkdirTemp(dir, "v"+p.version+"-")
		if err == nil {
			err = os.Chmod(*p.into, 0o755)
		}
		if err == nil {
			err = build("deb,rpm", *p.into, p.version)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "packages:", err)
			return 1
		}
	}
	return m.Run()
}

func build(kind, into, version string) error {
	cmd := exec.Command(filepath.Join("..", "..", "hack", "packages", "build.sh"), kind, into)
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", kind, err, out)
	}
	return nil
}

func deb(dir, name, version string) string {
	return filepath.Join(dir, name+"_"+version+"_amd64.deb")
}

// rpm is of the first version.
func rpm(name string) string {
	return filepath.Join(built.first, name+"-"+firstVersion+"-1.x86_64.rpm")
}

// output runs a program, which must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
