package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxName is how long a made name may be: a host name's label, so that the guest
// can have it too.
const maxName = 63

// Name makes a Kubernetes name of a libvirt one: in lower case, with a hyphen
// for what may not be in it. It is the same for the same name. What nothing is
// left of, or is too long, ends in eight digits of the name's digest.
func Name(libvirts string) string {
	var out strings.Builder
	gap := false
	for _, r := range strings.ToLower(libvirts) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if gap && out.Len() > 0 {
				out.WriteByte('-')
			}
			gap = false
			out.WriteRune(r)
		case r == '.' && !gap && out.Len() > 0 && !strings.HasSuffix(out.String(), "."):
			out.WriteByte('.')
		default:
			// A dot may not stand beside a hyphen.
			gap = !strings.HasSuffix(out.String(), ".")
		}
	}
	name := strings.TrimRight(out.String(), ".")
	if name != "" && len(name) <= maxName || libvirts == "" {
		return name
	}
	sum := sha256.Sum256([]byte(libvirts))
	digest := hex.EncodeToString(sum[:4])
	if name == "" {
		return "x" + digest
	}
	return strings.TrimRight(name[:maxName-9], ".-") + "-" + digest
}
