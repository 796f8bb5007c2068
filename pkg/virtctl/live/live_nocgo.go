//go:build !cgo

// Package live reads what a libvirt has defined, which this build of virtctl
// cannot.
package live

import (
	"context"
	"errors"
)

// Read says that this virtctl was built without libvirt.
func Read(context.Context, string, []Kind, []string) ([]Found, error) {
	return nil, errors.New("this virtctl is built without libvirt, and cannot connect to one: give files, as `virsh dumpxml NAME > NAME.xml` writes them, with -f NAME.xml")
}
