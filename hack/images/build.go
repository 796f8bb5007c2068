package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is who runs vm-scheduler; the number that such images commonly use.
const nonroot = 65532

// definition is what one image is made of.
type definition struct {
	name, description string
	// packages says whether it has the Debian packages; of others the authorities'
	// certificates alone are taken.
	packages bool
	user     string
}

var definitions = []definition{
	// Linked statically: nothing but itself, and nobody to run as.
	{name: "vm-scheduler", description: "Places VirtualMachines of domus.dev on libvirt hosts", user: "65532:65532"},
	// It opens libvirt's library when it starts, and speaks to the host's libvirt by
	// its socket. QEMU and its tools are the host's.
	{name: "vm-executor", description: "Runs VirtualMachines of domus.dev on a host's libvirt", packages: true, user: "0:0"},
}

// build makes an image of two layers: what it stands on, which seldom changes, and
// the program.
func build(d definition, o options, made time.Time) (v1.Image, error) {
	base := newTree()
	if err := base.skeleton(); err != nil {
		return nil, err
	}
	if err := base.addPackages(o.debs, d.packages); err != nil {
		return nil, err
	}
	program := newTree()
	content, err := os.ReadFile(filepath.Join(o.programs, d.name+".d", d.name))
	if err != nil {
		return nil, fmt.Errorf("%w: run make images", err)
	}
	program.file("usr/bin/"+d.name, 0o755, content)

	var layers []v1.Layer
	for _, t := range []*tree{base, program} {
		packed, err := t.tar(made)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Created = v1.Time{Time: made}
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/" + d.name},
		User:       d.user,
		WorkingDir: "/",
		Env:        []string{"PATH=/usr/sbin:/usr/bin"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       d.name,
			"org.opencontainers.image.description": d.description,
			"org.opencontainers.image.version":     o.tag,
			"org.opencontainers.image.licenses":    "Apache-2.0",
		},
	}
	for i := range file.History {
		file.History[i].Created = v1.Time{Time: made}
	}
	return mutate.ConfigFile(image, file)
}

// sizes are those of all layers as they are pulled, and as they are unpacked.
func sizes(image v1.Image) (compressed, unpacked int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, 0, err
	}
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return 0, 0, err
		}
		compressed += size
		content, err := layer.Uncompressed()
		if err != nil {
			return 0, 0, err
		}
		n, err := io.Copy(io.Discard, content)
		if err != nil {
			return 0, 0, err
		}
		unpacked += n
	}
	return compressed, unpacked, nil
}
