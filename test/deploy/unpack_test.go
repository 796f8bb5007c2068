package deploy

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// image is an image of an OCI layout: what it is configured to be, and its files.
type image struct {
	Config struct {
		Entrypoint []string
		Env        []string
		User       string
		Labels     map[string]string
	} `json:"config"`
	Architecture string `json:"architecture"`
	OS           string `json:"os"`

	// root is where its files were unpacked.
	root string
	// size is that of its layers, as they are pulled.
	size int64
}

// descriptor names a part of an image.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// unpack reads the layout of the only image in dir, as a container runtime does.
func unpack(dir, root string) (*image, error) {
	var index struct{ Manifests []descriptor }
	if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("%s has %d images", dir, len(index.Manifests))
	}
	blob := func(d descriptor) string {
		return filepath.Join(dir, "blobs", strings.Replace(d.Digest, ":", "/", 1))
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := readJSON(blob(index.Manifests[0]), &manifest); err != nil {
		return nil, err
	}
	i := &image{root: root}
	if err := readJSON(blob(manifest.Config), i); err != nil {
		return nil, err
	}
	for _, layer := range manifest.Layers {
		i.size += layer.Size
		if err := unpackLayer(blob(layer), root); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", layer.Digest, err)
		}
	}
	return i, nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func unpackLayer(path, root string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Uid != 0 || header.Gid != 0 {
			return fmt.Errorf("%s is not root's", header.Name)
		}
		if header.Mode&0o6000 != 0 {
			return fmt.Errorf("%s gives its caller another user's rights", header.Name)
		}
		if err := unpackEntry(header, r, filepath.Join(root, header.Name)); err != nil {
			return err
		}
	}
}

func unpackEntry(header *tar.Header, content io.Reader, to string) error {
	mode := header.FileInfo().Mode()
	switch header.Typeflag {
	case tar.TypeDir:
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		return os.Chmod(to, mode.Perm()|mode&os.ModeSticky)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, to)
	case tar.TypeReg:
		file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	}
	return fmt.Errorf("%s is of type %q", header.Name, header.Typeflag)
}
