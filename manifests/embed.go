// Package manifests holds what is applied to a cluster to run Domus there, and
// the configuration that vm-scheduler ships.
package manifests

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed base preview samples
var files embed.FS

// SchedulerConfig is the KubeSchedulerConfiguration that vm-scheduler uses when
// none is given.
//
//go:embed base/config/vm-scheduler.yaml
var SchedulerConfig []byte

// PlacementReviewCRD is the CustomResourceDefinition of PlacementReviews.
//
//go:embed base/crd/domus.dev_placementreviews.yaml
var PlacementReviewCRD []byte

// Base returns the Kubernetes objects of the base installation: a YAML document
// or several a file, ordered by path. Files that are no objects of the cluster
// (kustomizations, component configuration) are left out.
func Base() ([][]byte, error) { return objectsIn("base") }

// Preview returns, likewise, what is not installed: kinds on which nothing acts
// yet, and who may use them.
func Preview() ([][]byte, error) { return objectsIn("preview") }

func objectsIn(folder string) ([][]byte, error) {
	var names []string
	err := fs.WalkDir(files, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "config" {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".yaml") && path.Base(name) != "kustomization.yaml" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	out := make([][]byte, 0, len(names))
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// Samples is the folder of sample objects.
func Samples() (fs.FS, error) { return fs.Sub(files, "samples") }
