package tree

import (
	"slices"
	"strconv"
	"strings"
)

// unknown says that an object has no such key, and which it may be instead.
func unknown(key string, o *object) string {
	if near := nearest(key, o); len(near) > 0 {
		for i, k := range near {
			near[i] = strconv.Quote(k)
		}
		return "unknown key: did you mean " + strings.Join(near, " or ") + "?"
	}
	return "unknown key: known here are " + o.keyList()
}

// keyList names an object's keys, the first few of many.
func (o *object) keyList() string {
	const most = 12
	var keys []string
	for i, m := range o.members {
		if i == most {
			keys = append(keys, "...")
			break
		}
		keys = append(keys, m.key)
	}
	return strings.Join(keys, ", ")
}

// nearest returns up to three keys that were likely meant: spelt alike but for
// case, or called so in libvirt's XML, or a few letters away.
func nearest(key string, o *object) []string {
	const longest = 40 // no key is longer, and comparing costs length squared
	if len(key) > longest {
		return nil
	}
	type candidate struct {
		key  string
		cost int
	}
	var found []candidate
	plain := fold(key)
	for _, m := range o.members {
		if plain == fold(m.key) || plain == fold(m.xmlName) {
			return []string{m.key}
		}
		if cost := distance(plain, fold(m.key)); cost <= (len(plain)+2)/3 {
			found = append(found, candidate{m.key, cost})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.cost - b.cost })
	var keys []string
	for _, c := range found[:min(len(found), 3)] {
		keys = append(keys, c.key)
	}
	return keys
}

// fold makes on_poweroff, on-poweroff and onPoweroff alike.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance is the Levenshtein distance in bytes: keys are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
