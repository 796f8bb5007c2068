package volumes

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	markWord = ".making-"
	markSum  = 10
	// markLength is how much longer than its volume's a mark's name is.
	markLength = len(markWord) + markSum
)

// MarkSuffix ends the names of the marks of a host of a cluster. Clusters and
// hosts that share a pool leave each other's alone.
func MarkSuffix(clusterID, node string) string {
	sum := sha256.Sum256([]byte(clusterID + "/" + node))
	return markWord + hex.EncodeToString(sum[:])[:markSum]
}

// diskOf reads namespace and name of the VirtualDisk out of its volume's name;
// false for any other volume.
func diskOf(volume string) (namespace, name string, ok bool) { return v1alpha1.DiskOfVolume(volume) }

// marked returns the names of the volumes that the marks among names are about.
func marked(names []string, suffix string) (out []string) {
	for _, name := range names {
		if volume, ok := strings.CutSuffix(name, suffix); ok {
			if _, _, ours := diskOf(volume); ours {
				out = append(out, volume)
			}
		}
	}
	return out
}
