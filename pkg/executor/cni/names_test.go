package cni

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// Whatever cards are called, Linux bears their names, and none is another's.
func TestNames(t *testing.T) {
	cards := rapid.OneOf(rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`), rapid.SampledFrom([]string{"lo", "all", "default", "eth0"}))
	rapid.Check(t, func(t *rapid.T) {
		uid, card, other := types.UID(rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "uid")), cards.Draw(t, "card"), cards.Draw(t, "other")
		n := namesOf(uid, card)
		for _, name := range []string{n.tap, n.outer, n.inner, n.card} {
			if len(name) > longest || strings.ContainsAny(name, "/ :") || name == "lo" || name == "all" || name == "default" {
				t.Errorf("interface name %q", name)
			}
		}
		m := namesOf(uid, other)
		if card != other && (n.tap == m.tap || n.outer == m.outer || n.inner == m.inner || n.card == m.card) {
			t.Errorf("cards %q and %q share a name: %+v, %+v", card, other, n, m)
		}
		if n.inner == m.card || n.card == m.inner {
			t.Errorf("a card is called as a wire's end: %+v, %+v", n, m)
		}
	})
}
