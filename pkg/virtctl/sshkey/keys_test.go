package sshkey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	public      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXGyyhaGks8O8JhIW1ISArHG5YDyfltC+DtOjMW/og8"
	fingerprint = "SHA256:GHyuOFw3r/gDMHtmVXLotV/vveg/kMBcQRZVO/fDlyM"
)

func TestKeysOfFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.pub")
	content := "# mine\n\n" + public + " ada@example\r\nrestrict,command=\"true\" " + public + "\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := load([]string{path, "-"}, strings.NewReader(public+" ada@example"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{public + " ada@example", "restrict,command=\"true\" " + public}, lines(keys)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{fingerprint + " ada@example", fingerprint}, prints(keys)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoPublicKeyIsRefusedAndNotRepeated(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"a private key": {"-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n", "that is a private key"},
		"any text":      {public + "\nsecret\n", "line 2 is no public key"},
		"nothing":       {"# nothing\n", "no key in it"},
		"a large file":  {strings.Repeat("#", maxFile+1), "larger than"},
		"a long line":   {public + " " + strings.Repeat("secret", 2000), "at most 8192 bytes"},
		"many keys":     {many(33), "33 keys are too many"},
	} {
		_, err := load([]string{"-"}, strings.NewReader(test.in))
		if failure.CodeOf(err) != failure.Misused || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
	if _, err := load([]string{"-"}, strings.NewReader(many(32))); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	if _, err := load([]string{filepath.Join(t.TempDir(), "none")}, nil); failure.CodeOf(err) != failure.General {
		t.Errorf("a file that is not there: %v", err)
	}
}

func many(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(public + " key-" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + "\n")
	}
	return all.String()
}
