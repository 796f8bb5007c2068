package cni

import (
	"crypto/sha256"
	"encoding/base32"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// longest is how many characters Linux allows an interface (IFNAMSIZ less the
// ending zero).
const longest = 15

// digest is 60 bits of a text, in 12 characters that may be in any name: among a
// million cards two have the same with a chance of less than 1 in a million.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:8]))[:12]
}

// key tells attachments apart: neither part has a slash.
func key(uid types.UID, card string) string { return string(uid) + "/" + card }

// names of one attachment's interfaces. No card is called as inner is: cards are
// DNS labels, which have no underscore.
type names struct{ tap, outer, inner, card string }

func namesOf(uid types.UID, card string) names {
	d := digest(key(uid, card))
	return names{tap: "dt" + d, outer: "dv" + d, inner: "d_" + d, card: cardName(card)}
}

// cardName is the card's own name where an interface can bear it. lo is every
// namespace's own, and all and default are the names of folders of settings.
func cardName(card string) string {
	if len(card) <= longest && card != "lo" && card != "all" && card != "default" {
		return card
	}
	return "c-" + digest(card)
}

// alias is what the interfaces say of themselves in `ip link`.
func alias(uid types.UID, card string) string { return "domus " + key(uid, card) }

// spacePrefix tells Domus's namespaces from others in the same folder.
const spacePrefix = "domus-"

// spaceOf is the path of a VM's network namespace.
func spaceOf(dir string, uid types.UID) string {
	return filepath.Join(dir, spacePrefix+string(uid))
}
