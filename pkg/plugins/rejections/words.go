package rejections

import (
	"fmt"
	"strings"
)

// MaxReasons is how many reasons a message names.
const MaxReasons = 5

// Words says the groups to a person: "12 hosts: need 16Gi of 1Gi hugepages in
// one cell, largest free is 12Gi; 1 host: has no CPU model Foo". It names no more
// than MaxReasons of them.
func Words(groups []Group) string {
	var out []string
	for i := range groups {
		if i == MaxReasons {
			more := len(groups) - i
			out = append(out, fmt.Sprintf("and %d more %s", more, plural(more, "reason", "reasons")))
			break
		}
		out = append(out, groups[i].words())
	}
	return strings.Join(out, "; ")
}

func (g *Group) words() string {
	return fmt.Sprintf("%d %s: %s", g.Hosts, plural(g.Hosts, "host", "hosts"), g.Why())
}

// Why is the reason alone, said of that many hosts. The size of hosts, which no
// eviction changes, is told apart from what other VMs leave free there now; it
// names the host, since these words hardly ever change.
func (g *Group) Why() string {
	said := Reason(g.Reason, g.Hosts)
	switch {
	case g.Promised:
		return said + ", which is there but promised to other VMs"
	case g.Nearest != nil && g.Nearest.Reason == "" && g.Final:
		return g.Nearest.Sentence("the largest host has") + " (" + g.On + ")"
	case g.Nearest != nil && g.Nearest.Reason == "":
		return g.Nearest.Sentence("largest free is")
	case g.Final && g.OfAmounts():
		return said + ", more than there is when empty"
	}
	return said
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
