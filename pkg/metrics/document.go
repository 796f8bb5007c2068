package metrics

import (
	"errors"
	"fmt"
	"strings"
)

// What lies between these lines of docs/metrics.md is written by Document.
const (
	tableBegins = "<!-- The tables are written by make generate. -->"
	tableEnds   = "<!-- The tables end here. -->"
)

// Document returns the text of docs/metrics.md with the tables as they are now. It
// fails where a line is missing that says where they go.
func Document(text string) (string, error) {
	before, rest, begins := strings.Cut(text, tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return "", errors.New("docs/metrics.md: the lines between which the tables are written are missing: restore them: " + tableBegins + " and " + tableEnds)
	}
	return before + tableBegins + "\n" + tables() + tableEnds + after, nil
}

func tables() string {
	var out strings.Builder
	for _, page := range []struct {
		page  Page
		title string
	}{
		{Scheduler, "vm-scheduler, each replica"}, {Leader, "vm-scheduler, the leader alone"}, {Executor, "vm-executor"},
	} {
		fmt.Fprintf(&out, "\n### %s\n\n| metric | type | labels | unit | series | |\n|---|---|---|---|---|---|\n", page.title)
		for _, m := range Table() {
			if m.Page == page.page {
				fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Unit, m.Series, m.Help)
			}
		}
	}
	out.WriteString("\n### Of libraries, as far as dashboards and rules ask for them\n\n| metric | type | from | page |\n|---|---|---|---|\n")
	for _, o := range Others() {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", o.Name, o.Type, o.From, o.Page)
	}
	out.WriteString("\n")
	return out.String()
}
