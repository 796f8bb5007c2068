package layout

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketDir(t *testing.T) {
	tests := map[string]struct {
		dir     string
		outside bool
	}{
		"a short folder keeps its sockets":                  {dir: "/srv/demo"},
		"a folder of exactly the allowed length keeps them": {dir: "/" + strings.Repeat("d", 107-1-len("/host/run/libvirt-sock-ro"))},
		"one byte more moves them":                          {dir: "/" + strings.Repeat("d", 107-len("/host/run/libvirt-sock-ro")), outside: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := Layout{Dir: tc.dir}
			if got := l.SocketDirOutside(); got != tc.outside {
				t.Errorf("SocketDirOutside() = %v, want %v (%s)", got, tc.outside, l.SocketDir())
			}
			if path := filepath.Join(l.SocketDir(), LibvirtSocketName+"-ro"); len(path) > maxSocketPath {
				t.Errorf("%s has %d bytes", path, len(path))
			}
		})
	}
}
