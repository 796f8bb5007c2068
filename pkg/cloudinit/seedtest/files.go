// Package seedtest reads seeds in tests.
package seedtest

import (
	"io"
	"strings"

	"github.com/kdomanski/iso9660"
)

// names are those of a seed's files by those that ISO 9660 itself has for them.
var names = map[string]string{"META_DAT": "meta-data", "USER_DAT": "user-data", "NETWORK_": "network-config", "WRITTEN_": "written-by"}

// Files reads a medium's label and its files by their names, with another library
// than the one that wrote it. This one knows neither Rock Ridge nor Joliet.
func Files(t interface{ Fatal(...any) }, medium io.ReaderAt) (label string, files map[string]string) {
	image, err := iso9660.OpenImage(medium)
	if err != nil {
		t.Fatal(err)
	}
	if label, err = image.Label(); err != nil {
		t.Fatal(err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, f := range children {
		data, err := io.ReadAll(f.Reader())
		if err != nil {
			t.Fatal(err)
		}
		files[names[f.Name()]] = string(data)
	}
	return strings.TrimRight(label, " \x00"), files
}
