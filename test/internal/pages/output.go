package pages

import (
	"fmt"
	"regexp"
	"strings"
)

// What of a line is another each time: how long ago, when, which object, which process
// and which of the simulated hosts, of which chance chooses.
var passing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SUM"},
	{regexp.MustCompile(`\bpid \d+`), "pid PID"},
	{regexp.MustCompile(`\b(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b|\b\d+m\b|\b\d+h\d*m?\b|\b\d+d\d*h?\b|<invalid>`), "AGO"},
	{regexp.MustCompile(`sim-\d{3}(,sim-\d{3})*(,\.\.\.)?`), "SIM"},
}

var number = regexp.MustCompile(`\d+(\.\d+)?([KMGT]i)?`)

// Same says where got, what was printed, is not as the page shows it: want has to be
// among its lines, one after another. "..." in a line of want is any text, and a line
// of it alone any lines. Space between words counts as one.
func Same(want, got []string, numbersDiffer bool) error {
	want, got = plain(want, numbersDiffer), plain(got, numbersDiffer)
	if len(want) == 0 {
		return nil
	}
	best, at := 0, 0
	for start := range got {
		n := matched(want, got[start:])
		if n == len(want) {
			return nil
		}
		if n > best {
			best, at = n, start
		}
	}
	missing, there := want[best], "nothing"
	if at+best < len(got) {
		there = got[at+best]
	}
	return fmt.Errorf("line %d of the output is\n  %s\nand where that should be there is\n  %s\nall of it:\n%s", best+1, missing, there, strings.Join(got, "\n"))
}

// matched is how many lines of want lie at the beginning of got, in order.
func matched(want, got []string) int {
	for i, line := range want {
		if line == "..." {
			if i+1 == len(want) {
				return len(want)
			}
			best := 0
			for skip := range got {
				if n := matched(want[i+1:], got[skip:]); n > best {
					best = n
				}
			}
			return i + 1 + best
		}
		if len(got) == 0 || !wild(line).MatchString(got[0]) {
			return i
		}
		got = got[1:]
	}
	return len(want)
}

// wild is a line as an expression, in which "..." is any text.
func wild(line string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*") + "$")
}

func plain(lines []string, numbersDiffer bool) []string {
	var out []string
	for _, line := range lines {
		for _, p := range passing {
			line = p.pattern.ReplaceAllString(line, p.by)
		}
		if numbersDiffer {
			line = number.ReplaceAllString(line, "N")
		}
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out = append(out, line)
		}
	}
	return out
}
