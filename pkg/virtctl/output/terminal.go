// Package output is how virtctl writes to people: what a terminal can show, and
// what it is told while something takes its time.
package output

import (
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal says whether a person reads what is written to out as it comes.
func IsTerminal(out io.Writer) bool {
	_, is := descriptor(out)
	return is
}

func descriptor(out any) (int, bool) {
	file, ok := out.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	fd := int(file.Fd())
	return fd, term.IsTerminal(fd)
}

// dumb says whether the terminal cannot move its cursor.
func dumb() bool { return os.Getenv("TERM") == "dumb" }
