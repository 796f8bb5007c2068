//go:build cgo

package live

import (
	"context"
	"strings"
	"testing"
)

func TestEmbeddedLibvirtsAreRefusedPlainly(t *testing.T) {
	for uri, want := range map[string]string{
		"qemu:///embed?root=/srv/a": "--connect=qemu:///embed?root=/srv/a: embedded libvirts are not supported here: connect to a libvirt that runs, such as qemu:///system, or give files with -f, as `virsh -c 'qemu:///embed?root=/srv/a' dumpxml NAME` writes them",
		"qemu:///embed":             "such as qemu:///system",
		"ch:///embed":               "embedded libvirts are not supported here",
	} {
		if _, err := Read(context.Background(), uri, Kinds, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "event loop") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"qemu:///system", "test:///default", "qemu+unix:///embed", "qemu:///system?root=/embed", "::"} {
		if err := check(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
