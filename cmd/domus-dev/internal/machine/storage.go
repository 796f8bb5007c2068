package machine

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// Pool is the storage pool that the host offers.
const Pool = "default"

// Images are the guest images, as make guest names them, without and with a guest
// agent. The pool has each as a volume of namespace demo: by policy a namespace
// uses volumes whose names begin with its own and a dot.
var Images = []string{"tiny.qcow2", "agent.qcow2"}

const volumePrefix = "demo."

// Banner is what the guest image prints on its console when it is up.
const Banner = "DOMUS-GUEST-UP"

// imagesInside is the pool's folder as the host sees it.
const imagesInside = "/var/lib/libvirt/images"

func imagesDir(l layout.Layout) string { return filepath.Join(l.Host("lib"), "images") }

// EnsureStorage puts the guest images of the folder into the host's pool, which it
// defines and starts unless it is there. virsh does it, so that this program needs
// no libvirt library.
func EnsureStorage(ctx context.Context, l layout.Layout, folder string) error {
	for _, image := range Images {
		if err := copyFile(filepath.Join(folder, image), filepath.Join(imagesDir(l), volumePrefix+image)); err != nil {
			return fmt.Errorf("copying the guest image: %w; run make guest", err)
		}
	}
	pools, err := virsh(ctx, l, "pool-list", "--all", "--name")
	if err != nil {
		return err
	}
	if !hasLine(pools, Pool) {
		pool := libvirtxml.StoragePool{Type: "dir", Name: Pool, Target: &libvirtxml.StoragePoolTarget{Path: imagesInside}}
		definition, err := xml.Marshal(pool)
		if err != nil {
			return fmt.Errorf("describing pool %s: %w", Pool, err)
		}
		path := filepath.Join(l.Host("etc"), "pool-"+Pool+".xml")
		if err := os.WriteFile(path, definition, 0o644); err != nil {
			return fmt.Errorf("describing pool %s: %w", Pool, err)
		}
		if _, err := virsh(ctx, l, "pool-define", path); err != nil {
			return err
		}
		if _, err := virsh(ctx, l, "pool-autostart", Pool); err != nil {
			return err
		}
	}
	active, err := virsh(ctx, l, "pool-list", "--name")
	if err != nil {
		return err
	}
	if !hasLine(active, Pool) {
		if _, err := virsh(ctx, l, "pool-start", Pool); err != nil {
			return err
		}
	}
	_, err = virsh(ctx, l, "pool-refresh", Pool)
	return err
}

// Answers says whether the host's libvirtd answers.
func Answers(ctx context.Context, l layout.Layout) error {
	_, err := virsh(ctx, l, "version")
	return err
}

// Domains lists the host's domains, one line each, as virsh does.
func Domains(ctx context.Context, l layout.Layout) (string, error) {
	return virsh(ctx, l, "list", "--all")
}

func virsh(ctx context.Context, l layout.Layout, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "virsh", append([]string{"--quiet", "--connect", l.LibvirtURI()}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("asking the host's libvirtd for %s: %w", args[0], err)
	}
	return string(out), nil
}

func hasLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

// copyFile leaves a target of the same size and a later time alone: guests may
// have it open.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(to); err == nil && there.Size() == info.Size() && !there.ModTime().Before(info.ModTime()) {
		return nil
	}
	// A new file put in the old one's place: a running guest keeps reading the old.
	target, err := os.Create(to + ".new")
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close()
		return err
	}
	if err := target.Close(); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
