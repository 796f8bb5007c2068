package machine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyStartsThatHaveNoProcessAreForgotten(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		// As libvirt 9.0 writes them, shortened.
		"begun.xml":   "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n<domstatus state='paused' reason='starting up' pid='0'>\n  <job type='none' async='start'/>\n</domstatus>\n",
		"started.xml": "<domstatus state='paused' reason='starting up' pid='294'>\n  <vcpus>\n    <vcpu id='0' pid='0'/>\n  </vcpus>\n</domstatus>\n",
		"runs.xml":    "<domstatus state='running' reason='booted' pid='1200'>\n</domstatus>\n",
		"cut.xml":     "<domstatus state='paused' pid='0'",
		"empty.xml":   "",
		"begun.pid":   "294",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forgotten, err := forgetBegunStarts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"begun.xml"}, forgotten); diff != "" {
		t.Error(diff)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 5 {
		t.Errorf("what is left: %v", left)
	}
}

func TestThereMayBeNoNotesYet(t *testing.T) {
	if forgotten, err := forgetBegunStarts(filepath.Join(t.TempDir(), "none")); err != nil || forgotten != nil {
		t.Errorf("forgotten %v, error %v", forgotten, err)
	}
}
