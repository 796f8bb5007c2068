package faults

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// outcomes are what has happened, in the order of the table.
var outcomes = &record{}

type record struct {
	mu     sync.Mutex
	rows   []string
	random []string
}

// add notes a row of the table, and returns it.
func (r *record) add(t trial) string {
	outcome := "as expected"
	if len(t.wrong) > 0 {
		outcome = "**" + strings.ReplaceAll(strings.Join(t.wrong, "; "), "|", "/") + "**"
	}
	if t.note != "" {
		outcome += " (" + t.note + ")"
	}
	up := func(o observation) string {
		if o.said == nil {
			return "-"
		}
		return fmt.Sprintf("%.0f s", o.said.up.Seconds())
	}
	row := fmt.Sprintf("| %s | %s | %s | %s | %d → %d | %s → %s | %.0f s |",
		t.fault.name, t.state.name, t.what.says, outcome, t.before.boots, t.after.boots, up(t.before), up(t.after), t.took.Seconds())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
	return row
}

// addRandom notes a row of the random run.
func (r *record) addRandom(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.random = append(r.random, fmt.Sprintf(format, args...))
}

// write prints the tables, and writes them to a file where one is named.
func (r *record) write(out io.Writer, path string) error {
	var b strings.Builder
	if len(r.rows) > 0 {
		// Parts of the table can be put one after the other.
		if number, _, _ := partOf(*part); number == 1 {
			b.WriteString("| fault | VM | expected | outcome | boots | guest's own uptime | settled after |\n|---|---|---|---|--:|--:|--:|\n")
		}
		b.WriteString(strings.Join(r.rows, "\n") + "\n")
	}
	if len(r.random) > 0 {
		b.WriteString("\n| random faults | |\n|---|---|\n" + strings.Join(r.random, "\n") + "\n")
	}
	if b.Len() == 0 {
		return nil
	}
	if _, err := io.WriteString(out, b.String()); err != nil || path == "" {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
