package screenshot

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestCheckRefusesWhatIsNoPicture(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 1))); err != nil {
		t.Fatal(err)
	}
	if err := check(&v1alpha1.Screenshot{PNG: picture.Bytes()}); err != nil {
		t.Error(err)
	}
	for _, s := range []*v1alpha1.Screenshot{nil, {}, {PNG: []byte("P6 2 1")}} {
		if check(s) == nil {
			t.Errorf("%v is let through", s)
		}
	}
}

func TestWriteReplacesTheFileAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vm.png")
	for _, content := range []string{"a longer one", "b"} {
		if err := write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := write(filepath.Join(dir, "none", "vm.png"), nil); err == nil {
		t.Error("a folder that is not there")
	}
	if err := write(dir, []byte("x")); err == nil {
		t.Error("a folder in its place")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
