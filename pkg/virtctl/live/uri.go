//go:build cgo

package live

import (
	"net/url"
	"strings"

	"domus.dev/domus/pkg/virtctl/failure"
)

// check refuses URIs of drivers that would run in this process: libvirt needs an
// event loop for them, and its daemon would end with the command.
func check(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Path != "/embed" || strings.Contains(u.Scheme, "+") {
		return nil // libvirt says what is wrong with others
	}
	remedy := "connect to a libvirt that runs, such as " + u.Scheme + ":///system, or give files with -f, as `virsh -c " + Quote(uri) + " dumpxml NAME` writes them"
	return failure.Usage("--connect=%s: embedded libvirts are not supported here: %s", uri, remedy)
}
