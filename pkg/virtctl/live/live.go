//go:build cgo

// Package live reads what a libvirt has defined. It is the only part of virtctl
// that needs libvirt's library, and that only when it is used.
package live

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
)

// Read lists the documents of the kinds at a URI; of domains those that are named,
// or all. With an error of one, the others are returned.
func Read(ctx context.Context, uri string, kinds []Kind, names []string) ([]Found, error) {
	if err := check(uri); err != nil {
		return nil, err
	}
	inquiry := libvirt.Inquiry{Domains: names}
	for _, k := range kinds {
		inquiry.Kinds = append(inquiry.Kinds, libvirt.Kind(k))
	}
	all, err := libvirt.Inventory(ctx, uri, inquiry)
	if err != nil {
		return nil, explain(ctx, uri, err)
	}
	var out []Found
	var errs []error
	for _, d := range all {
		if d.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", uri, d.Err))
			continue
		}
		out = append(out, Found{
			Document: documents.Document{Source: fmt.Sprintf("%s %s", d.Kind, join(d.Parent, d.Name)), Alone: true, Format: documents.XML, Text: []byte(d.XML)},
			Kind:     Kind(d.Kind), Name: d.Name, UUID: d.UUID, Parent: d.Parent, Active: d.Active, Saved: d.Saved, Transient: d.Transient,
		})
	}
	return out, errors.Join(errs...)
}

func join(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "/" + name
}

// explain says what to do about a libvirt that cannot be asked.
func explain(ctx context.Context, uri string, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, libvirt.ErrNotFound):
		return failure.NotFound("%w: see `virsh -c %s list --all`", err, Quote(uri))
	case strings.Contains(err.Error(), "libvirt.so.0"):
		return fmt.Errorf("%w: install libvirt's library (libvirt0, libvirt-libs), or give files: `virsh dumpxml NAME > NAME.xml` on the host, and -f NAME.xml", err)
	case errors.Is(err, libvirt.ErrUnavailable):
		return fmt.Errorf("%w: try `virsh -c %s list --all`, which needs the same", err, Quote(uri))
	}
	return err
}
